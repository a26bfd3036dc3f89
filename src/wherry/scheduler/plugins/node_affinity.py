"""nodeSelector and node affinity: which labels a node must or should have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wherry.api.node_selectors import matches, required, term_matches
from wherry.api.types import Obj
from wherry.scheduler.framework import OK, SKIP, Filter, Happening, Score
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.snapshot import Snapshot

REASON = "node(s) didn't match Pod's node affinity/selector"


def _required(pod: PodInfo, snapshot: Snapshot) -> Any:
    selector, terms = required(pod.pod)
    return SKIP if not selector and terms is None else (selector, terms)


def _filter(pod: PodInfo, node: NodeInfo, state: tuple[dict[str, str], list[Obj] | None]) -> Sequence[str]:
    return OK if matches(*state, node.name, node.labels) else (REASON,)


def _preferred(pod: PodInfo, snapshot: Snapshot) -> Any:
    affinity = (pod.pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    return affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or SKIP


def _score(pod: PodInfo, node: NodeInfo, preferred: list[Obj]) -> float:
    return float(sum(one["weight"] for one in preferred if term_matches(one["preference"], node.name, node.labels)))


FILTER = Filter("NodeAffinity", _filter, frozenset({Happening.NODE_CHANGED}), _required, local=True)
SCORE = Score("NodeAffinity", 2, _score, _preferred, scale="largest", local=True)
