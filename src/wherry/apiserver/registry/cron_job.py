"""CronJobs: a schedule in cron's words and a Job to make from it."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

from wherry.api import cron
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry import pod_defaults, pod_warnings
from wherry.apiserver.registry.built_in import BuiltIn, fill, section
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import job as job_rules

_MAX_NAME = 52
"""A Job's name adds a dash and ten digits; 63 in all."""


class CronJobStrategy(BuiltIn):
    empty_status = {}  # noqa: RUF012 - a constant

    def default(self, obj: Obj) -> None:
        super().default(obj)
        spec = obj["spec"]
        fill(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
        template = section(spec, "jobTemplate")
        section(template, "metadata")
        pod_defaults.default_template(section(section(template, "spec"), "template"))

    def validate(self, obj: Obj) -> list[Cause]:
        spec, name = obj["spec"], obj["metadata"].get("name") or ""
        causes = _schedule(spec)
        causes += f.non_negative(spec.get("startingDeadlineSeconds"), "spec.startingDeadlineSeconds")
        policies = ("Allow", "Forbid", "Replace")
        causes += f.one_of(spec.get("concurrencyPolicy"), "spec.concurrencyPolicy", policies, need=True)
        for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            causes += f.non_negative(spec.get(key), f"spec.{key}")
        job = f.as_dict(spec["jobTemplate"].get("spec"))
        # A Job fills these in when it is made.
        causes += job_rules.spec({"completionMode": "NonIndexed", **job}, "spec.jobTemplate.spec")
        if job.get("manualSelector"):
            causes.append(
                f.not_supported("spec.jobTemplate.spec.manualSelector", job["manualSelector"], ("nil", "false"))
            )
        if len(name) > _MAX_NAME:
            causes.append(f.invalid("metadata.name", name, f"must be no more than {_MAX_NAME} characters"))
        return causes

    def warnings(self, obj: Obj, old: Obj | None) -> list[str]:
        job = obj["spec"]["jobTemplate"]["spec"]
        return [] if old is not None else pod_warnings.template(job["template"], "spec.jobTemplate.spec.template")


def _schedule(spec: Obj) -> list[Cause]:
    schedule, zone = spec.get("schedule") or "", spec.get("timeZone")
    causes: list[Cause] = []
    if not schedule:
        causes.append(f.required("spec.schedule"))
    else:
        problem = _problem(schedule)
        if "TZ=" in schedule:
            detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            causes.append(f.invalid("spec.schedule", schedule, detail))
        elif problem:
            causes.append(f.invalid("spec.schedule", schedule, problem))
    if zone is not None:
        causes += _zone(zone)
    return causes


def _problem(schedule: str) -> str:
    """What the parser says against it, "" when nothing."""
    try:
        cron.parse(schedule, UTC)
    except ValueError as error:
        return str(error)
    return ""


def _zone(zone: str) -> list[Cause]:
    if not zone:
        return [f.invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string")]
    if zone.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        return [f.invalid("spec.timeZone", zone, detail)]
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        # Depending on what is odd about the name: a path, a directory, or simply unknown.
        return [f.invalid("spec.timeZone", zone, f"unknown time zone {zone}")]
    return []
