"""What a Job's pods amount to: who runs, who has ended, who of those is counted already. Pure.

A pod carries a finalizer until it is counted, so that none is lost when it is deleted before we look; its uid stands in
status.uncountedTerminatedPods from before the finalizer goes until after it is added to the number. Stopped at any
point, the next look goes on from there and counts nothing twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import Struct, field

from wherry.aio.clock import parse_rfc3339
from wherry.api.types import Obj
from wherry.controllers.job import failure_policy, indexes
from wherry.reconcile.pods import created_at, is_finished, is_ready, is_terminating, phase

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"
INDEX_IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"


class Observed(Struct):
    """One look at a Job. Numbers include what is not yet in the status."""

    job: Obj
    active: list[Obj] = field(default_factory=list)
    terminating: list[Obj] = field(default_factory=list)
    ready: int = 0
    succeeded: int = 0
    failed: int = 0
    newly_succeeded: list[Obj] = field(default_factory=list)
    newly_failed: list[Obj] = field(default_factory=list)
    ignored: list[Obj] = field(default_factory=list)
    tracked: dict[str, Obj] = field(default_factory=dict)
    """By uid, pods that still carry the finalizer."""
    succeeded_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    fail_message: str = ""
    """Set when the failure policy says that the whole Job failed."""
    failures_in_a_row: int = 0
    last_failure: float = 0.0
    index_failures: dict[int, tuple[int, float]] = field(default_factory=dict)
    """For backoffLimitPerIndex: how often each index has failed, and when last."""
    index_ignored: dict[int, int] = field(default_factory=dict)
    """For backoffLimitPerIndex: how many of an index's failures the failure policy ignored."""


def is_indexed(job: Obj) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def observe(job: Obj, pods: Iterable[Obj], now: float, released: Collection[str] = ()) -> Observed:
    """`pods` are all pods the Job controls; `released` the uids of those whose finalizer is gone, though an informer
    that lags may still show it."""
    seen = Observed(job)
    status = job.get("status", {})
    uncounted = status.get("uncountedTerminatedPods") or {}
    in_succeeded, in_failed = set(uncounted.get("succeeded") or ()), set(uncounted.get("failed") or ())
    completions = job["spec"].get("completions") or 0
    if is_indexed(job):
        seen.succeeded_indexes = indexes.parse(status.get("completedIndexes"), completions)
        seen.failed_indexes = indexes.parse(status.get("failedIndexes"), completions)
    outcomes: list[tuple[float, bool]] = []
    for pod in sorted(pods, key=created_at):
        uid = pod["metadata"]["uid"]
        if uid not in released and TRACKING in (pod["metadata"].get("finalizers") or ()):
            seen.tracked[uid] = pod
        tracked = uid in seen.tracked
        if phase(pod) == "Succeeded":
            outcomes.append((finished_at(pod, now), True))
            if tracked and uid not in in_succeeded:
                seen.newly_succeeded.append(pod)
        elif _has_failed(job, pod):
            outcomes.append((finished_at(pod, now), False))
            _add_failed(seen, pod, now, new=tracked and uid not in in_failed)
        if is_finished(pod):
            continue
        if is_terminating(pod):
            seen.terminating.append(pod)
        else:
            seen.active.append(pod)
            seen.ready += is_ready(pod)
    _count(seen, status, len(in_succeeded), len(in_failed), completions)
    for moment, success in sorted(outcomes):
        seen.failures_in_a_row = 0 if success else seen.failures_in_a_row + 1
        seen.last_failure = moment if not success else seen.last_failure
    return seen


def finished_at(pod: Obj, now: float) -> float:
    """When the pod's last container ended; a pod without that knowledge ended when it was deleted, or just now."""
    ends = [
        parse_rfc3339(terminated["finishedAt"])
        for container in pod.get("status", {}).get("containerStatuses") or ()
        if (terminated := (container.get("state") or {}).get("terminated")) and terminated.get("finishedAt")
    ]
    if ends:
        return max(ends)
    deleted = pod["metadata"].get("deletionTimestamp")
    if not deleted:
        return now
    return min(parse_rfc3339(deleted) - (pod["metadata"].get("deletionGracePeriodSeconds") or 0), now)


def replaces_only_failed(job: Obj) -> bool:
    """Whether a terminating pod counts as running until it has ended."""
    return bool(job["spec"].get("podReplacementPolicy") == "Failed" or job["spec"].get("podFailurePolicy"))


def _has_failed(job: Obj, pod: Obj) -> bool:
    if phase(pod) == "Failed":
        return True
    return is_terminating(pod) and not replaces_only_failed(job)


def _add_failed(seen: Observed, pod: Obj, now: float, *, new: bool) -> None:
    action, message = failure_policy.action(seen.job, pod)
    limit = seen.job["spec"].get("backoffLimitPerIndex")
    index = indexes.index_of(pod)
    if action == "Ignore":
        if new:
            seen.ignored.append(pod)
        if limit is not None and index is not None:
            _add_index(seen, index, pod, now, failed=0, ignored=1)
        return
    if action == "FailJob":
        seen.fail_message = seen.fail_message or message
    if new:
        seen.newly_failed.append(pod)
    if limit is None or index is None:
        return
    if _noted(pod, INDEX_FAILURES) >= limit or action == "FailIndex":
        seen.failed_indexes.add(index)
    else:
        _add_index(seen, index, pod, now, failed=1, ignored=0)


def _add_index(seen: Observed, index: int, pod: Obj, now: float, *, failed: int, ignored: int) -> None:
    """What the pod that follows this one on its index will carry; of several pods the one that has seen most counts."""
    failures, passed = _noted(pod, INDEX_FAILURES) + failed, _noted(pod, INDEX_IGNORED) + ignored
    known = seen.index_failures.get(index, (0, 0.0))[0], seen.index_ignored.get(index, 0)
    if failures + passed > sum(known):
        seen.index_failures[index] = (failures, finished_at(pod, now))
        seen.index_ignored[index] = passed


def _noted(pod: Obj, annotation: str) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(annotation, "")
    return int(text) if text.isdigit() else 0


def _count(seen: Observed, status: Obj, in_succeeded: int, in_failed: int, completions: int) -> None:
    seen.failed = status.get("failed", 0) + in_failed + len(seen.newly_failed)
    if is_indexed(seen.job):
        done = (indexes.index_of(pod) for pod in seen.newly_succeeded)
        seen.succeeded_indexes.update(index for index in done if index is not None and index < completions)
        seen.succeeded = len(seen.succeeded_indexes)
        seen.failed_indexes -= seen.succeeded_indexes
    else:
        seen.succeeded = status.get("succeeded", 0) + in_succeeded + len(seen.newly_succeeded)
