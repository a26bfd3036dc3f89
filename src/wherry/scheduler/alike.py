"""Placed pods that are alike, with how many of them each node has: replicas have the same labels, so thousands of pods make
a few groups, and whether a selector means them is asked once per group and not once per pod.

Bounded by the placed pods; pods of StatefulSets and indexed Jobs carry their number as a label and are groups of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec import Struct, field

from wherry.reconcile.pods import is_terminating
from wherry.scheduler.pod_info import PodInfo

_Key = tuple[str, bool, frozenset[tuple[str, str]]]


class Group(Struct):
    """Pods of one namespace with the same labels, `going` if they are on their way out. `pod` is one that was among them:
    only its namespace and labels say something about the others."""

    pod: PodInfo
    going: bool
    nodes: Counter[str] = field(default_factory=Counter)
    """Name of a node -> how many of them are there."""


class Alike:
    """All groups there are."""

    def __init__(self) -> None:
        self._groups: dict[_Key, Group] = {}

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def count(self, pod: PodInfo, node: str, sign: int) -> None:
        """The pod came to (+1) or left (-1) the node."""
        going = is_terminating(pod.pod)
        key = (pod.namespace, going, frozenset((pod.pod["metadata"].get("labels") or {}).items()))
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(pod, going)
        group.nodes[node] += sign
        if not group.nodes[node]:
            del group.nodes[node]
            if not group.nodes:
                del self._groups[key]
