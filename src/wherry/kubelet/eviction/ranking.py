"""Which pod goes first: who uses more than it asked for, who matters less, who uses most beyond it. Pure.

Source: kubernetes.io "Node-pressure Eviction", pod selection for kubelet eviction. Inodes cannot be asked for, so everybody who
uses one is above its request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from wherry.api.pod_amounts import pod_amounts
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.kubelet import pod_spec

SYSTEM_CRITICAL = 2_000_000_000
"""Priority of `system-cluster-critical`, the lowest of those that are never evicted."""


class PodUsage(Struct, frozen=True):
    """What one pod uses of one resource, and each of its containers of which that is known."""

    total: int
    containers: Mapping[str, int]


def is_critical(pod: Obj) -> bool:
    """Never evicted, and let in under any pressure: by priority, or a mirror of a static pod."""
    mirrors = pod_spec.MIRROR_ANNOTATION in (pod["metadata"].get("annotations") or {})
    return mirrors or priority(pod) >= SYSTEM_CRITICAL


def priority(pod: Obj) -> int:
    return int(pod["spec"].get("priority") or 0)


def requested(spec: Obj, resource: str) -> int:
    """In bytes, by a pod's spec."""
    return pod_amounts(spec, "requests").get(resource, Quantity(0)).value()


def ranked(pods: Iterable[Obj], resource: str, usage: Mapping[str, PodUsage]) -> list[Obj]:
    """The first to go first; `usage` by uid. One that cannot be measured goes before those that can."""

    def place(pod: Obj) -> tuple[bool, bool, int, int]:
        used = usage.get(pod_spec.uid_of(pod))
        if used is None:
            return (False, False, priority(pod), 0)
        beyond = used.total - requested(pod["spec"], resource)
        return (True, beyond <= 0, priority(pod), -beyond)

    return sorted(pods, key=place)
