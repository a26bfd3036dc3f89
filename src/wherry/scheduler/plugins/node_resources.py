"""Room on a node: filter what does not fit, prefer what is emptier and more evenly used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wherry.scheduler.framework import SCORE_MAX, Filter, Happening, Score
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo

_SCORED = ("cpu", "memory")


def _fits(pod: PodInfo, node: NodeInfo, state: Any) -> Sequence[str]:
    reasons: list[str] = []
    allocatable, requested = node.allocatable, node.requested
    if len(node.pods) + 1 > allocatable.get("pods", 0):
        reasons.append("Too many pods")
    reasons += [
        f"Insufficient {name}"
        for name, amount in pod.requests.items()
        if amount > 0 and amount > allocatable.get(name, 0) - requested.get(name, 0)
    ]
    return reasons


def _could_fit(pod: PodInfo, node: NodeInfo, reasons: Sequence[str]) -> bool:
    """Whether the empty node is large enough."""
    return all(amount <= node.allocatable.get(name, 0) for name, amount in pod.requests.items() if amount > 0)


def _used_fractions(pod: PodInfo, node: NodeInfo) -> list[float]:
    """How much of cpu and memory would be taken with the pod there; resources the node does not state are left out."""
    return [
        min((node.scored.get(name, 0) + pod.scored.get(name, 0)) / node.allocatable[name], 1.0)
        for name in _SCORED
        if node.allocatable.get(name)
    ]


def _least_allocated(pod: PodInfo, node: NodeInfo, state: Any) -> float:
    used = _used_fractions(pod, node)
    return SCORE_MAX * sum(1 - one for one in used) / len(used) if used else 0


def _most_allocated(pod: PodInfo, node: NodeInfo, state: Any) -> float:
    used = _used_fractions(pod, node)
    return SCORE_MAX * sum(used) / len(used) if used else 0


def _balanced(pod: PodInfo, node: NodeInfo, state: Any) -> float:
    used = _used_fractions(pod, node)
    if len(used) < 2:
        return SCORE_MAX
    # For two numbers the standard deviation is half their distance.
    return SCORE_MAX * (1 - abs(used[0] - used[1]) / 2)


_HELPED_BY = frozenset({Happening.NODE_CHANGED, Happening.POD_GONE})
FILTER = Filter("NodeResourcesFit", _fits, _HELPED_BY, evictable=_could_fit, local=True)
LEAST_ALLOCATED = Score("NodeResourcesFit", 1, _least_allocated, local=True)
MOST_ALLOCATED = Score("NodeResourcesFit", 1, _most_allocated, local=True)
"""Packs nodes one after the other, for profiles that say so."""
BALANCED = Score("NodeResourcesBalancedAllocation", 1, _balanced, local=True)
