"""One decision: filter, score, choose. Pure, but for the chance that breaks ties.

Words of a refusal are kube-scheduler's: reasons counted over all nodes, in alphabetical order.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct, field

from wherry.api.node_selectors import named_nodes
from wherry.scheduler.framework import SKIP, Filter, Happening, Prepared, Refused, Score, scaled
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.plugins.node_affinity import REASON as NOT_CHOSEN
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.snapshot import Snapshot

NODES_FOUND_MIN = 100
"""kube-scheduler's minFeasibleNodesToFind: with more nodes than that it stops looking once it has found enough."""


class Fit(Struct):
    """Where the pod goes, and how many nodes were looked at."""

    node: str
    examined: int


class Unfit(Struct):
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


def prepared_for(pod: PodInfo, snapshot: Snapshot, filters: Sequence[Filter]) -> Prepared:
    """What the filters found out about the pod. Raises Refused."""
    return [(one, state) for one in filters if (state := one.prepare(pod, snapshot)) is not SKIP]


def decide(
    pod: PodInfo,
    snapshot: Snapshot,
    filters: Sequence[Filter],
    scores: Sequence[Score],
    rng: random.Random,
    *,
    start: int = 0,
) -> Fit | Unfit:
    """Look at the nodes from number `start` on, round the ring, so that large clusters fill evenly. A node where the pod
    was promised room comes first, and if it will do no other is looked at."""
    nodes = snapshot.nodes
    try:
        prepared = prepared_for(pod, snapshot, filters)
    except Refused as refusal:
        by = next(one for one in filters if _refuses(one, pod, snapshot))
        return Unfit(len(nodes), refused=str(refusal), helped_by=by.helped_by)
    promised = snapshot.node(snapshot.nominated(pod.uid))
    if promised is not None and refusal_of(pod, promised, prepared) is None:
        return Fit(promised.name, 0)
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


def refusal_of(pod: PodInfo, node: NodeInfo, prepared: Prepared) -> tuple[Filter, Sequence[str]] | None:
    """Who refuses the node and why; None if it will do. It must do with the pods that were promised room there, if they
    are as important as this one, and without them: nobody knows whether they come."""
    if node.nominated:
        others = [one for one in node.nominated.values() if one.priority >= pod.priority and one.uid != pod.uid]
        for other in others:
            come(pod, other, node, prepared)
        try:
            found = _first_refusal(pod, node, prepared)
        finally:
            for other in others:
                leave(pod, other, node, prepared)
        if found is not None:
            return found
    return _first_refusal(pod, node, prepared)


def come(pod: PodInfo, other: PodInfo, node: NodeInfo, prepared: Prepared) -> None:
    """In thought, `other` is on the node; undo it with `leave` before anybody else looks."""
    node.add(other)
    for one, state in prepared:
        one.moved(pod, state, other, node, 1)


def leave(pod: PodInfo, other: PodInfo, node: NodeInfo, prepared: Prepared) -> None:
    """In thought, `other` is not on the node; undo it with `come`."""
    node.remove(other.uid)
    for one, state in prepared:
        one.moved(pod, state, other, node, -1)


def _first_refusal(pod: PodInfo, node: NodeInfo, prepared: Prepared) -> tuple[Filter, Sequence[str]] | None:
    for one, state in prepared:
        reasons = one.check(pod, node, state)
        if reasons:
            return one, reasons
    return None


def _refuses(one: Filter, pod: PodInfo, snapshot: Snapshot) -> bool:
    try:
        one.prepare(pod, snapshot)
    except Refused:
        return True
    return False


def _passes(pod: PodInfo, node: NodeInfo, prepared: Prepared, unfit: Unfit) -> bool:
    found = refusal_of(pod, node, prepared)
    if found is None:
        return True
    by, reasons = found
    unfit.reasons.update(reasons)
    unfit.helped_by |= by.helped_by
    if by.evictable(pod, node, reasons):
        unfit.evictable.append(node)
    return False


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
