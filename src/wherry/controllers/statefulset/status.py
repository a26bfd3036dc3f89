"""A StatefulSet's status after a look at its pods. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from wherry.api.types import Obj
from wherry.controllers.statefulset.pods import REVISION, ordinals
from wherry.reconcile.pods import is_finished, is_ready, is_terminating, seconds_until_available


def status(
    statefulset: Obj, pods: Sequence[Obj], current: str, update: str, collisions: int, now: float
) -> tuple[Obj, float | None]:
    """The status, and in how many seconds it will change by itself. `current` and `update` name revisions."""
    counts = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"), 0)
    next_change: float | None = None
    for pod in pods:
        if is_finished(pod):
            continue
        counts["replicas"] += 1
        if is_ready(pod):
            counts["readyReplicas"] += 1
            missing = seconds_until_available(pod, statefulset["spec"].get("minReadySeconds") or 0, now)
            if missing == 0:
                counts["availableReplicas"] += 1
            elif missing is not None:
                next_change = missing if next_change is None else min(missing, next_change)
        if not is_terminating(pod):
            revision = (pod["metadata"].get("labels") or {}).get(REVISION)
            counts["currentReplicas"] += revision == current
            counts["updatedReplicas"] += revision == update
    wanted = len(ordinals(statefulset))
    if current != update and counts["updatedReplicas"] == counts["replicas"] == counts["readyReplicas"] == wanted:
        current, counts["currentReplicas"] = update, counts["updatedReplicas"]
    result: Obj = {
        "observedGeneration": statefulset["metadata"].get("generation", 0),
        "replicas": counts.pop("replicas"),
    }
    available = counts.pop("availableReplicas")
    result.update({key: value for key, value in counts.items() if value})
    result.update({"currentRevision": current, "updateRevision": update, "collisionCount": collisions})
    result["availableReplicas"] = available
    conditions = statefulset.get("status", {}).get("conditions")
    if conditions:
        result["conditions"] = conditions
    return result, next_change
