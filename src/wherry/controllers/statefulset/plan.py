"""What a StatefulSet wants done with its pods. Pure.

OrderedReady: one pod at a time, from the lowest number up, each only when all before it are ready; down from the highest.
Parallel: all at once. An update goes from the highest number down, one pod at a time, down to the partition.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from wherry.api.intstr import scaled_value
from wherry.api.types import Obj
from wherry.controllers.statefulset.pods import REVISION, ordinal_of, ordinals
from wherry.reconcile.pods import is_available, is_finished, is_ready, is_terminating, phase


class Create(Struct, frozen=True):
    """Make pod number `ordinal` from the update revision, or from the current one."""

    ordinal: int
    updated: bool


class Plan(Struct):
    create: list[Create] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)
    condemned: list[Obj] = field(default_factory=list)
    """Pods beyond the wanted numbers, also those not deleted yet."""


def plan(statefulset: Obj, pods: Iterable[Obj], update_revision: str, now: float) -> Plan:
    """`pods` are those the set controls."""
    by_ordinal = {number: pod for pod in pods if (number := ordinal_of(statefulset, pod)) is not None}
    wanted = ordinals(statefulset)
    condemned = [by_ordinal[number] for number in sorted(by_ordinal, reverse=True) if number not in wanted]
    result = Plan(condemned=condemned)
    if "deletionTimestamp" in statefulset["metadata"]:
        return result
    ordered = statefulset["spec"].get("podManagementPolicy") != "Parallel"
    if _replicas(statefulset, by_ordinal, wanted, result, ordered, now):
        return result
    if _scale_down(statefulset, by_ordinal, wanted, result, ordered, now):
        return result
    if (statefulset["spec"].get("updateStrategy") or {}).get("type") != "OnDelete":
        _update(statefulset, by_ordinal, wanted, result, update_revision, now)
    return result


def is_healthy(statefulset: Obj, pod: Obj, now: float) -> bool:
    """Running, ready for long enough, and not on its way out."""
    min_ready = statefulset["spec"].get("minReadySeconds") or 0
    return phase(pod) == "Running" and not is_terminating(pod) and is_available(pod, min_ready, now)


def partition(statefulset: Obj) -> int:
    rolling = (statefulset["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return int(rolling.get("partition") or 0)


def _replicas(statefulset: Obj, pods: dict[int, Obj], wanted: range, result: Plan, ordered: bool, now: float) -> bool:
    """Fill the numbers that are wanted; True when it has to wait for one of them."""
    for number in wanted:
        pod = pods.get(number)
        if pod is None:
            result.create.append(Create(number, _gets_update(statefulset, number)))
        elif is_finished(pod) and not is_terminating(pod):
            result.delete.append(pod)
        elif is_healthy(statefulset, pod, now):
            continue
        if ordered:
            return True
    return False


def _gets_update(statefulset: Obj, ordinal: int) -> bool:
    """A pod that comes back during an update keeps the revision its number has reached."""
    spec, status = statefulset["spec"], statefulset.get("status", {})
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return True
    start = ordinals(statefulset).start
    below = partition(statefulset)
    if below:
        return ordinal >= start + below
    return ordinal >= start + int(status.get("currentReplicas", 0))


def _scale_down(statefulset: Obj, pods: dict[int, Obj], wanted: range, result: Plan, ordered: bool, now: float) -> bool:
    for pod in result.condemned:
        if not is_terminating(pod):
            if ordered and not is_ready(pod) and _other_unhealthy(statefulset, pods, pod, now):
                return True
            result.delete.append(pod)
        if ordered:
            return True
    return False


def _other_unhealthy(statefulset: Obj, pods: dict[int, Obj], pod: Obj, now: float) -> bool:
    """Whether a pod of a lower number is unwell: it must recover first."""
    number = ordinal_of(statefulset, pod) or 0
    return any(not is_healthy(statefulset, other, now) for low, other in pods.items() if low < number)


def _update(
    statefulset: Obj, pods: dict[int, Obj], wanted: range, result: Plan, update_revision: str, now: float
) -> None:
    rolling = (statefulset["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    budget = max(scaled_value(rolling.get("maxUnavailable") or 1, len(wanted), round_up=True), 1)
    # One that is missing is being made, also where nobody waits for it (Parallel).
    unavailable = sum(number not in pods or not is_healthy(statefulset, pods[number], now) for number in wanted)
    for number in sorted(wanted, reverse=True):
        if number < wanted.start + partition(statefulset):
            return
        pod = pods.get(number)
        if pod is None:
            continue
        outdated = (pod["metadata"].get("labels") or {}).get(REVISION) != update_revision
        if outdated and not is_terminating(pod):
            healthy = is_healthy(statefulset, pod, now)
            if unavailable >= budget and healthy:
                return
            result.delete.append(pod)
            unavailable += healthy
        if unavailable >= budget:
            return
