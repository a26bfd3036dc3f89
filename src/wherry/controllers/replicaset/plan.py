"""What a ReplicaSet wants done, decided from what is there. Pure: no await, time comes in as Unix seconds.

Always true: a plan creates or deletes, never both, and never more than BURST pods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.reconcile import pods as podlib

BURST = 500
"""kube-controller-manager's BurstReplicas: a typing mistake in `replicas` must not flood the API in one go."""

# From so many pods on, looks are that far apart that reading the pods takes a tenth of the time or less.
MANY_PODS: Final = 500
PODS_PER_SECOND: Final = 20_000
PATIENCE_SECONDS_MAX: Final = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """`create` pods from the template, `delete` exactly these."""

    create: int = 0
    delete: list[Obj] = field(default_factory=list)


def plan(replicaset: Obj, pods: Sequence[Obj], related: Sequence[Obj], now: float) -> Plan:
    """`pods` are the active pods it controls; `related` those of all ReplicaSets of the same owner (for spreading)."""
    if "deletionTimestamp" in replicaset["metadata"]:
        return Plan()
    missing = wanted(replicaset) - len(pods)
    if missing > 0:
        return Plan(create=min(missing, BURST))
    if missing < 0:
        surplus = min(-missing, BURST)
        return Plan(delete=podlib.to_delete_first(pods, related, now)[:surplus])
    return Plan()


def wanted(replicaset: Obj) -> int:
    replicas = replicaset["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def status(
    replicaset: Obj, pods: Sequence[Obj], terminating: int, failure: tuple[str, str] | None, now: float
) -> tuple[Obj, float | None]:
    """The status that `pods` (active and controlled) amount to, and in how many seconds it will change by itself.

    `failure` is (reason, message) of what could not be created or deleted this time.
    """
    spec = replicaset["spec"]
    min_ready = spec.get("minReadySeconds") or 0
    template_labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    labelled = ready = available = 0
    next_change: float | None = None
    for pod in pods:
        labels = pod["metadata"].get("labels") or {}
        labelled += all(labels.get(key) == value for key, value in template_labels.items())
        missing = podlib.seconds_until_available(pod, min_ready, now)
        if missing is None:
            continue
        ready += 1
        if missing == 0:
            available += 1
        else:
            next_change = missing if next_change is None else min(next_change, missing)
    new: Obj = {"replicas": len(pods)}
    counts = (("fullyLabeledReplicas", labelled), ("readyReplicas", ready), ("availableReplicas", available))
    new.update({key: value for key, value in counts if value})
    new["terminatingReplicas"] = terminating
    new["observedGeneration"] = replicaset["metadata"].get("generation", 0)
    conditions = _conditions(replicaset, failure, now)
    if conditions:
        new["conditions"] = conditions
    return new, next_change


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
    """Seconds to gather changes of its pods before the next look. A look reads all of them: were there one after every
    change, the work of starting many pods would grow with the square of their number."""
    replicas = max(replicaset["spec"].get("replicas", 1), replicaset.get("status", {}).get("replicas", 0))
    return min(replicas / PODS_PER_SECOND, PATIENCE_SECONDS_MAX) if replicas >= MANY_PODS else 0.0
