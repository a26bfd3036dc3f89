"""What is said of an eviction: in the pod's status, in Events. Pure; the words are the kubelet's, trailing spaces too."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.kubelet import pod_spec
from wherry.kubelet.eviction.ranking import PodUsage
from wherry.kubelet.eviction.thresholds import INODES, RESOURCES, Reading, Threshold

REASON = "Evicted"
REJECTED = "Pod was rejected: "


def evicted(threshold: Threshold, reading: Reading, pod: Obj, usage: PodUsage | None) -> str:
    """Of a pod that goes: what the node lacked, and which containers use more of it than they asked for."""
    resource = RESOURCES[threshold.signal]
    wanted, left = (_text(threshold.signal, each) for each in (threshold.quantity(reading.capacity), reading.available))
    found = f"The node was low on resource: {resource}. Threshold quantity: {wanted}, available: {left}. "
    for container in (*pod_spec.containers(pod), *pod_spec.sidecars(pod)):
        used = usage.containers.get(container["name"]) if usage is not None else None
        requests = (container.get("resources") or {}).get("requests") or {}
        asked = Quantity.parse(requests.get(resource, "0"))
        if used is not None and used > asked.value():
            found += (
                f"Container {container['name']} was using {_text(threshold.signal, used)}, request is {asked}, "
                f"has larger consumption of {resource}. "
            )
    return found


def refused(conditions: Iterable[str]) -> str:
    """Of a pod that is not let in."""
    return f"The node had condition: [{' '.join(conditions)}]. "


def attempting(threshold: Threshold) -> str:
    """Of the node (EvictionThresholdMet)."""
    return f"Attempting to reclaim {RESOURCES[threshold.signal]}"


def _text(signal: str, amount: int) -> str:
    return str(Quantity.from_value(amount, "DecimalSI" if signal == INODES else "BinarySI"))
