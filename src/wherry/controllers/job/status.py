"""A Job's status after a look, in the two steps that make counting safe. Pure.

pending    ended pods are named in uncountedTerminatedPods, the numbers are still the old ones
counted    their finalizers are gone: the numbers include them, the names are dropped
"""

from __future__ import annotations

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.controllers.job import indexes
from wherry.controllers.job.observation import Observed, is_indexed
from wherry.controllers.job.plan import Verdict


def pending(seen: Observed) -> Obj:
    """The status that names the newly ended pods; equal to the present one if there are none."""
    status: Obj = seen.job.get("status", {})
    if not seen.newly_succeeded and not seen.newly_failed:
        return status
    uncounted = status.get("uncountedTerminatedPods") or {}
    names = {
        "succeeded": [*(uncounted.get("succeeded") or ()), *_uids(seen.newly_succeeded)],
        "failed": [*(uncounted.get("failed") or ()), *_uids(seen.newly_failed)],
    }
    result = {**status, "uncountedTerminatedPods": {key: value for key, value in names.items() if value}}
    return {**result, **_indexes(seen)}


def counted(seen: Observed, verdict: Verdict | None, created: int, now: float) -> Obj:
    """The status with everything counted; `created` pods were made just now. With a verdict, and all pods ended, it is
    final."""
    status = seen.job.get("status", {})
    result: Obj = {}
    conditions = _conditions(seen, verdict, now)
    if conditions:
        result["conditions"] = conditions
    suspended = bool(seen.job["spec"].get("suspend"))
    start = None if suspended and verdict is None else status.get("startTime") or rfc3339(now)
    if start:
        result["startTime"] = start
    if any(one["type"] == "Complete" for one in conditions):
        result["completionTime"] = status.get("completionTime") or rfc3339(now)
    active = len(seen.active) + created if verdict is None and not suspended else 0
    numbers = {"active": active, "succeeded": seen.succeeded, "failed": seen.failed}
    result.update({key: value for key, value in numbers.items() if value})
    stopped = len(seen.active) if verdict is not None or suspended else 0
    result["terminating"] = len(seen.terminating) + stopped
    result["ready"] = seen.ready if active else 0
    result.update(_indexes(seen))
    result["uncountedTerminatedPods"] = {}
    return result


def _indexes(seen: Observed) -> Obj:
    if not is_indexed(seen.job):
        return {}
    result: Obj = {}
    if seen.succeeded_indexes:
        result["completedIndexes"] = indexes.text(seen.succeeded_indexes)
    if seen.job["spec"].get("backoffLimitPerIndex") is not None:
        result["failedIndexes"] = indexes.text(seen.failed_indexes)
    return result


def _conditions(seen: Observed, verdict: Verdict | None, now: float) -> list[Obj]:
    conditions: list[Obj] = list(seen.job.get("status", {}).get("conditions") or ())
    if verdict is not None:
        _set(conditions, verdict.kind, "True", verdict.reason, verdict.message, now)
        if not seen.active and not seen.terminating:
            final = "Complete" if verdict.kind == "SuccessCriteriaMet" else "Failed"
            _set(conditions, final, "True", verdict.reason, verdict.message, now)
        return conditions
    was = next((one for one in conditions if one["type"] == "Suspended"), None)
    if seen.job["spec"].get("suspend"):
        _set(conditions, "Suspended", "True", "JobSuspended", "Job suspended", now)
    elif was is not None and was["status"] == "True":
        _set(conditions, "Suspended", "False", "JobResumed", "Job resumed", now)
    return conditions


def _set(conditions: list[Obj], kind: str, value: str, reason: str, message: str, now: float) -> None:
    before = next((one for one in conditions if one["type"] == kind), None)
    if before is not None and before["status"] == value:
        return
    stamp = rfc3339(now)
    conditions[:] = [one for one in conditions if one["type"] != kind]
    conditions.append(
        {
            "type": kind,
            "status": value,
            "lastProbeTime": stamp,
            "lastTransitionTime": stamp,
            "reason": reason,
            "message": message,
        }
    )


def _uids(pods: list[Obj]) -> list[str]:
    return [pod["metadata"]["uid"] for pod in pods]
