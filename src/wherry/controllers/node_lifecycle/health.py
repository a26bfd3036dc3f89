"""What a node's conditions, or its silence, mean: the conditions of a node that stopped reporting, the taints of one that
is unwell. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.reconcile.pods import condition

PREFIX = "node.kubernetes.io/"
NOT_READY = f"{PREFIX}not-ready"
UNREACHABLE = f"{PREFIX}unreachable"
UNSCHEDULABLE = f"{PREFIX}unschedulable"
PRESSURES = {
    "MemoryPressure": f"{PREFIX}memory-pressure",
    "DiskPressure": f"{PREFIX}disk-pressure",
    "PIDPressure": f"{PREFIX}pid-pressure",
    "NetworkUnavailable": f"{PREFIX}network-unavailable",
}
OURS = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *PRESSURES.values()})
"""Taints that come and go with what the node says; those of people stay."""
STOPPED = "Kubelet stopped posting node status."
WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


def with_unknown(node: Obj, now: float) -> Obj:
    """The status of a node that stopped reporting."""
    status = node.get("status") or {}
    stamp = rfc3339(now)
    known = {one["type"]: one for one in status.get("conditions") or ()}
    conditions = [one for one in status.get("conditions") or () if one["type"] not in WATCHED]
    for kind in WATCHED:
        before = known.get(kind)
        if before is None:
            reason, message = "NodeStatusNeverUpdated", "Kubelet never posted node status."
        else:
            reason, message = "NodeStatusUnknown", STOPPED
        if before is not None and before["status"] == "Unknown":
            conditions.append(before)
            continue
        heartbeat = (before or {}).get("lastHeartbeatTime") or node["metadata"].get("creationTimestamp")
        conditions.append(
            {
                "type": kind,
                "status": "Unknown",
                "lastHeartbeatTime": heartbeat,
                "lastTransitionTime": stamp,
                "reason": reason,
                "message": message,
            }
        )
    return {**status, "conditions": conditions}


def taints_for(node: Obj, now: float, *, evict: bool = True) -> list[Obj]:
    """The node's taints as its conditions and `spec.unschedulable` demand; those of others stay. Without `evict` none
    that drives pods away."""
    wanted = [pair for pair in _wanted(node) if evict or pair[1] != "NoExecute"]
    before: Sequence[Obj] = (node.get("spec") or {}).get("taints") or ()
    taints = [one for one in before if one["key"] not in OURS or (one["key"], one["effect"]) in wanted]
    there = {(one["key"], one["effect"]) for one in taints}
    stamp = rfc3339(now)
    new = (pair for pair in wanted if pair not in there)
    return [*taints, *({"key": key, "effect": effect, "timeAdded": stamp} for key, effect in new)]


def _wanted(node: Obj) -> list[tuple[str, str]]:
    ready = condition(node, "Ready")
    wanted: list[tuple[str, str]] = []
    if ready is None or ready["status"] == "Unknown":
        wanted += [(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]
    elif ready["status"] == "False":
        wanted += [(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]
    for kind, key in PRESSURES.items():
        found = condition(node, kind)
        if found is not None and found["status"] == "True":
            wanted.append((key, "NoSchedule"))
    if (node.get("spec") or {}).get("unschedulable"):
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    return wanted
