"""Nodes in order of merit for pods that ask for the same, kept from one decision to the next.

The replicas of a workload are alike, and placing one changes one node. So for the second of such pods every node is judged
once, and from then on only nodes that have changed: a decision costs a few node visits whatever the size of the cluster.
Only for pods about which the other nodes do not matter: no spreading they ask for, no affinity to pods, nothing that must be
compared between nodes to be scaled. A score that is the same for whole groups of nodes (replicas spread over zones) may
change with every decision: nodes are in order within their group, and the best of each group are compared. What is chosen
is what `decision.decide` would choose if it looked at all nodes.
Bounded: a few rankings at a time, each with a few entries per node.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from wherry.api import json
from wherry.api.node_selectors import named_nodes
from wherry.scheduler.decision import prepared_for, refusal_of
from wherry.scheduler.framework import SKIP, Filter, Refused, Score, scaled
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.snapshot import Snapshot

KEPT_MAX = 32
"""Workloads that are being placed at the same time; more than that take turns with judging all nodes."""
SEEN_MAX = 256
STALE_FACTOR = 4
"""Entries per node before the outdated ones are thrown away."""
_KEY = "ranking"


class _Incomparable(Exception):
    """A score that is relative to the other nodes says something about one of them."""


class Rankings:
    """`choose` answers where a pod goes, or that this is not the way to decide about it."""

    def __init__(
        self, snapshot: Snapshot, filters: Sequence[Filter], scores: Sequence[Score], rng: random.Random
    ) -> None:
        self._snapshot = snapshot
        self._filters = filters
        self._scores = scores
        self._rng = rng
        self._kept: OrderedDict[bytes, _Ranking] = OrderedDict()
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def choose(self, pod: PodInfo) -> str | None:
        """The best node; None: decide by looking at the nodes (first of its kind, no node will do, others matter)."""
        if not self._is_plain(pod):
            return None
        signature = signature_of(pod)
        ranking = self._kept.get(signature)
        if ranking is None:
            if signature not in self._seen:
                self._remember(signature)
                return None
            ranking = self._keep(signature)
        self._kept.move_to_end(signature)
        try:
            return ranking.best(pod)
        except _Incomparable:
            self._drop(signature)
            return None

    def _is_plain(self, pod: PodInfo) -> bool:
        if named_nodes(pod.pod) is not None:
            return False  # no two are alike, and there is next to nothing to compare
        if self._snapshot.nominated(pod.uid):
            return False  # it goes where room was made for it
        try:
            plain = all(one.local or one.prepare(pod, self._snapshot) is SKIP for one in self._filters)
            return plain and all(
                one.local or one.group is not None or one.prepare(pod, self._snapshot) is SKIP for one in self._scores
            )
        except Refused:
            return False

    def _remember(self, signature: bytes) -> None:
        self._seen[signature] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)

    def _keep(self, signature: bytes) -> _Ranking:
        if len(self._kept) >= KEPT_MAX:
            self._drop(next(iter(self._kept)))
        ranking = self._kept[signature] = _Ranking(self._snapshot, self._filters, self._scores, self._rng)
        self._snapshot.listeners.append(ranking.changed)
        return ranking

    def _drop(self, signature: bytes) -> None:
        gone = self._kept.pop(signature)
        self._snapshot.listeners = [each for each in self._snapshot.listeners if each is not gone.changed]
        self._seen.pop(signature, None)


def signature_of(pod: PodInfo) -> bytes:
    """Equal for pods about which every local rule says the same."""
    known = pod.compiled.get(_KEY)
    if known is None:
        spec = pod.pod["spec"]
        parts: list[Any] = [spec.get(key) for key in ("nodeSelector", "affinity", "tolerations", "nodeName")]
        # Room that was promised to others is kept from those less important than they.
        parts += [
            pod.priority,
            pod.kin,
            pod.images,
            sorted(pod.requests.items()),
            sorted(pod.scored.items()),
            sorted(pod.ports),
        ]
        known = pod.compiled[_KEY] = json.encode(parts)
    return bytes(known)


Entry = tuple[int, float, int, str]
"""(minus the score within its group, chance, the node's turn, its name); one with an older turn is void."""


class _Ranking:
    """A heap of entries for each group of nodes."""

    def __init__(
        self, snapshot: Snapshot, filters: Sequence[Filter], scores: Sequence[Score], rng: random.Random
    ) -> None:
        self._snapshot = snapshot
        self._filters = [one for one in filters if one.local]
        self._scores = [one for one in scores if one.local]
        self._grouped = [(one, one.group) for one in scores if one.group is not None]
        self._rng = rng
        self._heaps: dict[Hashable, list[Entry]] = {}
        self._turns: dict[str, int] = {}
        self.changed: set[str] = {node.name for node in snapshot.nodes}

    def best(self, pod: PodInfo) -> str | None:
        self._judge_changed(pod)
        first = self._first_of_each_group()
        if len(first) < 2:
            return first[0][3] if first else None
        totals = [float(-entry[0]) for entry in first]
        nodes = [node for entry in first if (node := self._snapshot.node(entry[3])) is not None]
        for one, _ in self._grouped:
            state = one.prepare(pod, self._snapshot)
            if state is not SKIP:
                raw = [one.rate(pod, node, state) for node in nodes]
                for number, value in enumerate(scaled(raw, one.scale)):
                    totals[number] += one.weight * int(value)
        highest = max(totals)
        return min(entry[1:] for entry, total in zip(first, totals, strict=True) if total == highest)[2]

    def _first_of_each_group(self) -> list[Entry]:
        found: list[Entry] = []
        for group, heap in list(self._heaps.items()):
            while heap and self._turns[heap[0][3]] != heap[0][2]:
                heappop(heap)
            if heap:
                found.append(heap[0])
            else:
                del self._heaps[group]
        return found

    def _judge_changed(self, pod: PodInfo) -> None:
        if not self.changed:
            return
        filters = prepared_for(pod, self._snapshot, self._filters)
        scores = [(one, state) for one in self._scores if (state := one.prepare(pod, self._snapshot)) is not SKIP]
        for name in sorted(self.changed):
            turn = self._turns[name] = self._turns.get(name, 0) + 1
            node = self._snapshot.node(name)
            if node is not None and refusal_of(pod, node, filters) is None:
                group = tuple(find(pod, node) for _, find in self._grouped)
                entry = (-_merit(pod, node, scores), self._rng.random(), turn, name)
                heappush(self._heaps.setdefault(group, []), entry)
        self.changed.clear()
        if sum(map(len, self._heaps.values())) > STALE_FACTOR * len(self._turns):
            for heap in self._heaps.values():
                heap[:] = [entry for entry in heap if self._turns[entry[3]] == entry[2]]
                heapify(heap)


def _merit(pod: PodInfo, node: NodeInfo, scores: Sequence[tuple[Score, Any]]) -> int:
    total = 0
    for one, state in scores:
        raw = one.rate(pod, node, state)
        if one.scale == "as-is":
            total += one.weight * int(raw)
        elif raw:
            raise _Incomparable  # as long as all say 0 they are equal, whatever the scale
    return total
