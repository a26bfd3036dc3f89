"""What a ReplicaSet wants done, decided from what is there. Pure: no await, time comes in as Unix seconds.

Always true: a plan creates or deletes, never both, and never more than BURST pods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.controllers.replicaset.tally import Counts
from wherry.reconcile import pods as podlib

BURST = 500
"""kube-controller-manager's BurstReplicas: a typing mistake in `replicas` must not flood the API in one go."""

MANY_PODS: Final = 500
GATHERING_SECONDS: Final = 0.1
"""From so many pods on, statuses are written that far apart at least: thousands of changes a second would make thousands
of statuses, each of them news for the Deployment too."""


class Plan(Struct, frozen=True):
    """How many pods to `create` from the template, or to `delete`."""

    create: int = 0
    delete: int = 0


def plan(replicaset: Obj, active: int) -> Plan:
    """`active`: how many active pods it controls."""
    if "deletionTimestamp" in replicaset["metadata"]:
        return Plan()
    missing = wanted(replicaset) - active
    return Plan(create=min(missing, BURST)) if missing > 0 else Plan(delete=min(-missing, BURST))


def victims(replicaset: Obj, pods: Sequence[Obj], related: Sequence[Obj], count: int, now: float) -> list[Obj]:
    """Which `count` of its active pods go first. `related` are the pods of all ReplicaSets of the same owner (for
    spreading); `now` is Unix seconds."""
    if not wanted(replicaset):
        return list(pods[:count])  # all of them go
    return podlib.to_delete_first(pods, related, now)[:count]


def wanted(replicaset: Obj) -> int:
    replicas = replicaset["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def status(replicaset: Obj, counts: Counts, failure: tuple[str, str] | None, now: float) -> Obj:
    """The status that its pods amount to. `failure` is (reason, message) of what could not be created or deleted this
    time."""
    new: Obj = {"replicas": counts.active}
    numbers = (
        ("fullyLabeledReplicas", counts.labelled),
        ("readyReplicas", counts.ready),
        ("availableReplicas", counts.available),
    )
    new.update({key: value for key, value in numbers if value})
    new["terminatingReplicas"] = counts.terminating
    new["observedGeneration"] = replicaset["metadata"].get("generation", 0)
    conditions = _conditions(replicaset, failure, now)
    if conditions:
        new["conditions"] = conditions
    return new


def _conditions(replicaset: Obj, failure: tuple[str, str] | None, now: float) -> list[Obj]:
    """ReplicaFailure is there exactly while something fails; conditions of others stay."""
    old: list[Obj] = replicaset.get("status", {}).get("conditions") or []
    kept = [entry for entry in old if entry["type"] != "ReplicaFailure"]
    if failure is None:
        return kept
    before = next((entry for entry in old if entry["type"] == "ReplicaFailure"), None)
    if before is not None and before["reason"] == failure[0]:
        return old
    return [
        *kept,
        {
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": rfc3339(now),
            "reason": failure[0],
            "message": failure[1],
        },
    ]


def patience(replicaset: Obj) -> float:
    """Seconds to gather changes of its pods before the next look."""
    replicas = max(wanted(replicaset), replicaset.get("status", {}).get("replicas", 0))
    return GATHERING_SECONDS if replicas >= MANY_PODS else 0.0
