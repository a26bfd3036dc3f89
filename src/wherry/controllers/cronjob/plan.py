"""What a CronJob wants done now: status, Jobs to delete, the Job to start, when to look again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from msgspec import Struct, field

from wherry.aio.clock import parse_rfc3339
from wherry.api import cron
from wherry.api.types import Obj
from wherry.controllers.cronjob.jobs import job_name, outcome, reference, too_many
from wherry.controllers.cronjob.times import MISSED_MAX, due, zone_of

TOO_MANY_MISSED = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"


class Plan(Struct):
    """`active` and `last_success` become the status; `start` is the firing to make a Job for."""

    active: list[Obj]
    last_success: str | None
    delete: list[Obj] = field(default_factory=list)
    """Finished Jobs of which there are too many."""
    replace: list[Obj] = field(default_factory=list)
    """References to running Jobs that make way for the new one."""
    start: float | None = None
    next_firing: float | None = None
    events: list[tuple[str, str, str]] = field(default_factory=list)
    """(type, reason, message)."""

    def tell(self, kind: str, reason: str, message: str) -> None:
        self.events.append((kind, reason, message))


def plan(cronjob: Obj, jobs: Sequence[Obj], missing: Collection[str], now: float) -> Plan:
    """`jobs` are those it controls; `missing` the uids in status.active that surely no longer exist."""
    result = _account(cronjob, jobs, missing)
    result.delete = too_many(cronjob, jobs)
    if "deletionTimestamp" not in cronjob["metadata"]:
        _schedule(cronjob, result, now)
    return result


def _account(cronjob: Obj, jobs: Sequence[Obj], missing: Collection[str]) -> Plan:
    """What has happened to the Jobs since the last look."""
    status = cronjob.get("status", {})
    active: list[Obj] = list(status.get("active") or ())
    result = Plan(active, status.get("lastSuccessfulTime"))
    known = {one["uid"] for one in active}
    for job in sorted(jobs, key=lambda one: str(one["metadata"]["name"])):
        metadata, ended = job["metadata"], outcome(job)
        if metadata["uid"] not in known and not ended:
            text = f"Saw a job that the controller did not create or forgot: {metadata['name']}"
            result.tell("Warning", "UnexpectedJob", text)
        elif metadata["uid"] in known and ended:
            known.remove(metadata["uid"])
            text = f"Saw completed job: {metadata['name']}, condition: {ended}"
            result.tell("Normal", "SawCompletedJob", text)
        completed = job.get("status", {}).get("completionTime")
        if ended == "Complete" and completed and completed > (result.last_success or ""):
            result.last_success = completed
    for one in active:
        if one["uid"] in missing:
            known.discard(one["uid"])
            result.tell("Normal", "MissingJob", f"Active job went missing: {one['name']}")
    result.active = [one for one in active if one["uid"] in known]
    return result


def _schedule(cronjob: Obj, result: Plan, now: float) -> None:
    spec = cronjob["spec"]
    try:
        zone = zone_of(cronjob)
    except (ValueError, KeyError, OSError) as error:
        text = f'invalid timeZone: "{spec["timeZone"]}": {error}'
        result.tell("Warning", "UnknownTimeZone", text)
        return
    if spec.get("suspend"):
        return
    try:
        schedule = cron.parse(spec["schedule"], zone)
    except ValueError as error:
        # The API refuses these; one may have been stored by an older release.
        result.tell("Warning", "UnparseableSchedule", f'unparseable schedule: "{spec["schedule"]}" : {error}')
        return
    result.next_firing = schedule.after(now)
    found = due(cronjob, schedule, now)
    if found.missed > MISSED_MAX:
        result.tell("Warning", "TooManyMissedTimes", TOO_MANY_MISSED)
    if found.moment is not None:
        _start(cronjob, result, found.moment, now)


def _start(cronjob: Obj, result: Plan, moment: float, now: float) -> None:
    spec, last = cronjob["spec"], cronjob.get("status", {}).get("lastScheduleTime")
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None and moment + deadline < now:
        stamp = datetime.fromtimestamp(moment, UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
        result.tell("Warning", "MissSchedule", f"Missed scheduled time to start a job: {stamp}")
        return
    if any(one["name"] == job_name(cronjob, moment) for one in result.active):
        return
    if last and parse_rfc3339(last) == moment:
        return
    policy = spec.get("concurrencyPolicy")
    if policy == "Forbid" and result.active:
        text = "Not starting job because prior execution is running and concurrency policy is Forbid"
        result.tell("Normal", "JobAlreadyActive", text)
        return
    if policy == "Replace":
        result.replace, result.active = result.active, []
    result.start = moment


def started(result: Plan, job: Obj) -> list[Obj]:
    """status.active with the Job that was just made."""
    return [*result.active, reference(job)]
