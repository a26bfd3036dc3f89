"""One decision: filter, score, choose. Pure, but for the chance that breaks ties.

Words of a refusal are kube-scheduler's: reasons counted over all nodes, in alphabetical order.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from wherry.api.node_selectors import named_nodes
from wherry.scheduler.framework import SKIP, Filter, Happening, Refused, Score, scaled
from wherry.scheduler.plugins.node_affinity import REASON as NOT_CHOSEN
from wherry.scheduler.snapshot import NodeInfo, PodInfo, Snapshot

NODES_FOUND_MIN = 100
"""kube-scheduler's minFeasibleNodesToFind: with more nodes than that it stops looking once it has found enough."""


@dataclass(slots=True)
class Fit:
    """Where the pod goes, and how many nodes were looked at."""

    node: str
    examined: int


@dataclass(slots=True)
class Unfit:
    """Why no node takes the pod, and what could change that."""

    total: int
    reasons: Counter[str] = field(default_factory=Counter)
    refused: str = ""
    helped_by: frozenset[Happening] = frozenset()
    evictable: list[NodeInfo] = field(default_factory=list)
    """Nodes that would do if some of their pods were gone."""

    def message(self, preemption: str = "") -> str:
        """`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: ...`"""
        if self.total == 0:
            return "no nodes available to schedule pods"
        text = f"0/{self.total} nodes are available: {self.refused or counted(self.reasons)}."
        return f"{text} preemption: {preemption}" if preemption else text


def counted(reasons: Counter[str]) -> str:
    return ", ".join(sorted(f"{number} {reason}" for reason, number in reasons.items() if number))


def decide(
    pod: PodInfo,
    snapshot: Snapshot,
    filters: Sequence[Filter],
    scores: Sequence[Score],
    rng: random.Random,
    *,
    start: int = 0,
) -> Fit | Unfit:
    """Look at the nodes from number `start` on, round the ring, so that large clusters fill evenly."""
    nodes = snapshot.nodes
    try:
        prepared = [(one, state) for one in filters if (state := one.prepare(pod, snapshot)) is not SKIP]
    except Refused as refusal:
        by = next(one for one in filters if _refuses(one, pod, snapshot))
        return Unfit(len(nodes), refused=str(refusal), helped_by=by.helped_by)
    unfit = Unfit(len(nodes), helped_by=frozenset({Happening.NODE_CHANGED}))
    named = named_nodes(pod.pod)
    if named is not None:
        # Whoever may go to one node of thousands is not asked about the others.
        nodes = [node for name in sorted(named) if (node := snapshot.node(name)) is not None]
        unfit.reasons[NOT_CHOSEN] += unfit.total - len(nodes)
    enough = _enough(len(nodes))
    feasible: list[NodeInfo] = []
    examined = 0
    for number in range(len(nodes)):
        node = nodes[(start + number) % len(nodes)]
        examined += 1
        if _passes(pod, node, prepared, unfit):
            feasible.append(node)
            if len(feasible) >= enough:
                break
    if not feasible:
        return unfit
    return Fit(_best(pod, feasible, snapshot, scores, rng).name, examined if named is None else 0)


def fits(pod: PodInfo, node: NodeInfo, snapshot: Snapshot, filters: Sequence[Filter]) -> bool:
    """Whether this node would take the pod as things stand in `snapshot`."""
    prepared = [(one, state) for one in filters if (state := one.prepare(pod, snapshot)) is not SKIP]
    return all(not one.check(pod, node, state) for one, state in prepared)


def _refuses(one: Filter, pod: PodInfo, snapshot: Snapshot) -> bool:
    try:
        one.prepare(pod, snapshot)
    except Refused:
        return True
    return False


def _passes(pod: PodInfo, node: NodeInfo, prepared: Sequence[tuple[Filter, Any]], unfit: Unfit) -> bool:
    for one, state in prepared:
        reasons = one.check(pod, node, state)
        if reasons:
            unfit.reasons.update(reasons)
            unfit.helped_by |= one.helped_by
            if one.evictable:
                unfit.evictable.append(node)
            return False
    return True


def _enough(total: int) -> int:
    """How many feasible nodes are enough: half of them, less in very large clusters, never under 100 nor 5 %."""
    if total <= NODES_FOUND_MIN:
        return total
    percentage = max(50 - total // 125, 5)
    return max(total * percentage // 100, NODES_FOUND_MIN)


def _best(
    pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot, scores: Sequence[Score], rng: random.Random
) -> NodeInfo:
    if len(nodes) == 1:
        return nodes[0]
    totals = [0.0] * len(nodes)
    for score in scores:
        state = score.prepare(pod, snapshot)
        if state is SKIP:
            continue
        raw = [score.rate(pod, node, state) for node in nodes]
        for number, value in enumerate(scaled(raw, score.scale)):
            totals[number] += score.weight * int(value)
    highest = max(totals)
    return rng.choice([node for node, total in zip(nodes, totals, strict=True) if total == highest])
