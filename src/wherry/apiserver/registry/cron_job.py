"""CronJobs: a schedule in cron's words and a Job to make from it."""

from __future__ import annotations

import re
from datetime import UTC

from wherry.api import cron
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry import pod_defaults, pod_warnings
from wherry.apiserver.registry.built_in import BuiltIn, fill, section
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import job as job_rules

_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}")
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
        spec = obj["spec"]
        causes = _schedule(spec)
        causes += f.non_negative(spec.get("startingDeadlineSeconds"), "spec.startingDeadlineSeconds")
        policies = ("Allow", "Forbid", "Replace")
        causes += f.one_of(spec.get("concurrencyPolicy"), "spec.concurrencyPolicy", policies, need=True)
        for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            causes += f.non_negative(spec.get(key), f"spec.{key}")
        job = f.as_dict(spec["jobTemplate"].get("spec"))
        # A Job fills these in when it is made.
        causes += job_rules.spec({"completionMode": "NonIndexed", **job}, "spec.jobTemplate.spec")
        if job.get("selector") is not None:
            detail = "`selector` will be auto-generated"
            causes.append(f.invalid("spec.jobTemplate.spec.selector", job["selector"], detail))
        if job.get("manualSelector"):
            causes.append(
                f.not_supported("spec.jobTemplate.spec.manualSelector", job["manualSelector"], ("nil", "false"))
            )
        return causes

    def check_new(self, obj: Obj, ctx: Context) -> list[Cause]:
        name = obj["metadata"].get("name") or ""
        causes = self.validate(obj) + _zone(obj["spec"].get("timeZone"))
        if len(name) > _MAX_NAME:
            causes.append(f.invalid("metadata.name", name, f"must be no more than {_MAX_NAME} characters"))
        return causes

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        zone = obj["spec"].get("timeZone")
        return [] if zone == old["spec"].get("timeZone") else _zone(zone)

    def warnings(self, obj: Obj, old: Obj | None) -> list[str]:
        job = obj["spec"]["jobTemplate"]["spec"]
        return [] if old is not None else pod_warnings.template(job["template"], "spec.jobTemplate.spec.template")


def _schedule(spec: Obj) -> list[Cause]:
    schedule = spec.get("schedule") or ""
    if not schedule:
        return [f.required("spec.schedule")]
    prefix, space, rest = schedule.partition(" ")
    problem = _problem(rest.strip() if space and prefix.startswith(("TZ=", "CRON_TZ=")) else schedule)
    causes = [f.invalid("spec.schedule", schedule, problem)] if problem else []
    if "TZ" in schedule:
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        causes.append(f.invalid("spec.schedule", schedule, detail))
    return causes


def _problem(schedule: str) -> str:
    """What the parser says against it, "" when nothing."""
    try:
        cron.parse(schedule, UTC)
    except ValueError as error:
        return str(error)
    return ""


def _zone(zone: str | None) -> list[Cause]:
    path = "spec.timeZone"
    if zone is None:
        return []
    if not zone:
        return [f.invalid(path, zone, "timeZone must be nil or non-empty string")]
    parts = zone.split("/")
    if any(part in (".", "..") or part.startswith("-") or not _ZONE_PART.fullmatch(part) for part in parts):
        return [f.invalid(path, zone, f"unknown time zone {zone}")]
    if zone.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        return [f.invalid(path, zone, detail)]
    from zoneinfo import ZoneInfo  # few name a zone

    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        return [f.invalid(path, zone, f"unknown time zone {zone}")]
    return []
