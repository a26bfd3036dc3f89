"""What a Job wants done: which pods to make and which to stop, whether it has come to its end, when to look again. Pure.

Order of judgement, as Kubernetes': failure policy, back-off limit, deadline, failed indexes, success policy, completions.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from wherry.aio.clock import parse_rfc3339
from wherry.api.types import Obj
from wherry.controllers.job import indexes
from wherry.controllers.job.observation import Observed, is_indexed, replaces_only_failed
from wherry.reconcile.pods import condition, to_delete_first

BACKOFF_SECONDS_MIN = 10.0
BACKOFF_SECONDS_MAX = 600.0
BURST = 500
"""Pods created or deleted in one go."""


class Verdict(Struct, frozen=True):
    """`kind` is SuccessCriteriaMet or FailureTarget; the final condition has the same reason and message."""

    kind: str
    reason: str
    message: str


class Plan(Struct):
    create: list[int | None] = field(default_factory=list)
    """One entry per pod: its completion index, None where there are none."""
    delete: list[Obj] = field(default_factory=list)
    verdict: Verdict | None = None
    look_again: float | None = None


def plan(seen: Observed, now: float) -> Plan:
    """Decide. A verdict once written into the status stands."""
    job = seen.job
    verdict = standing_verdict(job) or _failure(seen, now) or _success(seen)
    if verdict is not None:
        return Plan(delete=list(seen.active), verdict=verdict)
    if job["spec"].get("suspend"):
        return Plan(delete=to_delete_first(seen.active, seen.active, now)[:BURST])
    if "deletionTimestamp" in job["metadata"]:
        return Plan()
    result = _pods(seen, now)
    deadline = _deadline(job)
    if deadline is not None:
        left = max(deadline - now, 0)
        result.look_again = left if result.look_again is None else min(left, result.look_again)
    return result


def standing_verdict(job: Obj) -> Verdict | None:
    """What an earlier look decided."""
    for kind in ("FailureTarget", "SuccessCriteriaMet"):
        found = condition(job, kind)
        if found is not None and found["status"] == "True":
            return Verdict(kind, found.get("reason", ""), found.get("message", ""))
    return None


def is_over(job: Obj) -> bool:
    """Complete or Failed."""
    found = (condition(job, kind) for kind in ("Complete", "Failed"))
    return any(one is not None and one["status"] == "True" for one in found)


def backoff_seconds(failures: int) -> float:
    """10 s after the first failure in a row, doubled with each further one, at most 10 minutes."""
    return min(BACKOFF_SECONDS_MIN * 2.0 ** min(failures - 1, 20), BACKOFF_SECONDS_MAX) if failures > 0 else 0.0


def _failure(seen: Observed, now: float) -> Verdict | None:
    spec = seen.job["spec"]
    if seen.fail_message:
        return Verdict("FailureTarget", "PodFailurePolicy", seen.fail_message)
    limit = spec.get("backoffLimit", 6)
    if seen.failed > limit or _restarts_exceed(seen, limit):
        return Verdict("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    deadline = _deadline(seen.job)
    if deadline is not None and now >= deadline:
        return Verdict("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
    if spec.get("backoffLimitPerIndex") is not None:
        return _failed_indexes(seen, spec)
    return None


def _failed_indexes(seen: Observed, spec: Obj) -> Verdict | None:
    most = spec.get("maxFailedIndexes")
    if most is not None and len(seen.failed_indexes) > most:
        text = "Job has exceeded the specified maximal number of failed indexes"
        return Verdict("FailureTarget", "MaxFailedIndexesExceeded", text)
    if seen.failed_indexes and len(seen.failed_indexes) + len(seen.succeeded_indexes) >= spec["completions"]:
        return Verdict("FailureTarget", "FailedIndexes", "Job has failed indexes")
    return None


def _restarts_exceed(seen: Observed, limit: int) -> bool:
    """Pods that restart in place never fail; their restarts count instead."""
    if seen.job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    total = sum(_all_restarts(pod) for pod in seen.active)
    return total > 0 if limit == 0 else total >= limit


def _all_restarts(pod: Obj) -> int:
    status = pod.get("status", {})
    listed: Iterable[Obj] = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return sum(one.get("restartCount", 0) for one in listed)


def _success(seen: Observed) -> Verdict | None:
    spec = seen.job["spec"]
    reached = "Reached expected number of succeeded pods"
    rules = (spec.get("successPolicy") or {}).get("rules") or ()
    for number, rule in enumerate(rules):
        wanted = rule.get("succeededIndexes")
        chosen = seen.succeeded_indexes
        among = indexes.parse(wanted, spec["completions"]) if wanted is not None else None
        done = len(chosen & among) if among is not None else len(chosen)
        needed = rule.get("succeededCount") or (len(among) if among is not None else spec["completions"])
        if done >= needed:
            return Verdict("SuccessCriteriaMet", "SuccessPolicy", f"Matched rules at index {number}")
    completions = spec.get("completions")
    if completions is None:
        # A work queue is done when one pod says so and the others have finished.
        if seen.succeeded > 0 and not seen.active:
            return Verdict("SuccessCriteriaMet", "CompletionsReached", reached)
    elif seen.succeeded >= completions:
        return Verdict("SuccessCriteriaMet", "CompletionsReached", reached)
    return None


def _deadline(job: Obj) -> float | None:
    seconds, start = job["spec"].get("activeDeadlineSeconds"), job.get("status", {}).get("startTime")
    if seconds is None or not start or job["spec"].get("suspend"):
        return None
    return parse_rfc3339(start) + int(seconds)


def _pods(seen: Observed, now: float) -> Plan:
    spec = seen.job["spec"]
    parallelism, completions = spec.get("parallelism", 1), spec.get("completions")
    surplus = _misplaced(seen) if is_indexed(seen.job) else []
    gone = {pod["metadata"]["uid"] for pod in surplus}
    active = [pod for pod in seen.active if pod["metadata"]["uid"] not in gone]
    if completions is None:
        # Once a pod of a work queue has succeeded, no new ones are started.
        wanted = min(len(active), parallelism) if seen.succeeded else parallelism
    else:
        done = seen.succeeded + (len(seen.failed_indexes) if spec.get("backoffLimitPerIndex") is not None else 0)
        wanted = min(max(completions - done, 0), parallelism)
    if len(active) > wanted:
        surplus += to_delete_first(active, active, now)[: len(active) - wanted]
    if surplus:
        return Plan(delete=surplus[:BURST])
    running = len(active) + (len(seen.terminating) if replaces_only_failed(seen.job) else 0)
    missing = min(wanted - running, BURST)
    if missing <= 0:
        return Plan()
    if spec.get("backoffLimitPerIndex") is not None:
        return _per_index(seen, missing, now)
    wait = seen.last_failure + backoff_seconds(seen.failures_in_a_row) - now
    if seen.failures_in_a_row and wait > 0:
        return Plan(look_again=wait)
    return Plan(create=list(_free_indexes(seen, missing)) if is_indexed(seen.job) else [None] * missing)


def _misplaced(seen: Observed) -> list[Obj]:
    """Pods of indexes that are done or do not exist (any more), and second pods of one index."""
    completions = seen.job["spec"]["completions"]
    taken: set[int] = set()
    found: list[Obj] = []
    for pod in seen.active:
        index = indexes.index_of(pod)
        if index is None or index >= completions or index in taken or index in seen.succeeded_indexes:
            found.append(pod)
        else:
            taken.add(index)
    return found


def _free_indexes(seen: Observed, count: int) -> Iterable[int]:
    pods = [*seen.active, *(seen.terminating if replaces_only_failed(seen.job) else ())]
    taken = {indexes.index_of(pod) for pod in pods} | seen.succeeded_indexes | seen.failed_indexes
    found = (index for index in range(seen.job["spec"]["completions"]) if index not in taken)
    return [index for index, _ in zip(found, range(count), strict=False)]


def _per_index(seen: Observed, missing: int, now: float) -> Plan:
    """Each index has a back-off of its own."""
    result = Plan()
    for index in _free_indexes(seen, seen.job["spec"]["completions"]):
        failures, last = seen.index_failures.get(index, (0, 0.0))
        wait = last + backoff_seconds(failures) - now
        if failures and wait > 0:
            result.look_again = wait if result.look_again is None else min(wait, result.look_again)
        elif len(result.create) < missing:
            result.create.append(index)
    return result
