"""The plugin points: what a rule about nodes has to say, and when it is worth asking again.

A filter says whether a node may take a pod and why not; a score says how good it is, 0 to 100. Both first look at the pod
once (`prepare`) and may declare themselves irrelevant to it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from enum import Enum
from typing import Any, Final, Literal

from msgspec import Struct

from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.snapshot import Snapshot


class Happening(Enum):
    """What may make an unschedulable pod schedulable."""

    NODE_CHANGED = "NodeChanged"
    POD_GONE = "PodGone"
    POD_PLACED = "PodPlaced"
    CLAIM_CHANGED = "ClaimChanged"


SKIP: Final = object()
"""What `prepare` answers when the plugin has nothing to say about this pod."""

SCORE_MAX: Final = 100

OK: Final[Sequence[str]] = ()


class Refused(Exception):
    """Raised by `prepare`: no node at all can take the pod; the message says why."""


def nothing_to_prepare(pod: PodInfo, snapshot: Snapshot) -> Any:
    return None


def nothing_moves(pod: PodInfo, state: Any, other: PodInfo, node: NodeInfo, sign: int) -> None:
    """What `prepare` found does not depend on who is where."""


def never(pod: PodInfo, node: NodeInfo, reasons: Sequence[str]) -> bool:
    return False


def always(pod: PodInfo, node: NodeInfo, reasons: Sequence[str]) -> bool:
    return True


class Filter(Struct, frozen=True):
    """`check` answers the reasons against a node, none if it will do. `evictable`: fewer pods there could help against
    these reasons. `moved` corrects what `prepare` answered when, in thought, another pod comes to a node (+1) or leaves
    it (-1). `local`: the answer depends on the pod's spec and this one node, so that it holds until the node changes."""

    name: str
    check: Callable[[PodInfo, NodeInfo, Any], Sequence[str]]
    helped_by: frozenset[Happening]
    prepare: Callable[[PodInfo, Snapshot], Any] = nothing_to_prepare
    evictable: Callable[[PodInfo, NodeInfo, Sequence[str]], bool] = never
    moved: Callable[[PodInfo, Any, PodInfo, NodeInfo, int], None] = nothing_moves
    local: bool = False


Prepared = Sequence[tuple[Filter, Any]]
"""Filters that have something to say about a pod, with what they found."""

NOT_RATED: Final = -1.0
"""Raw number of a node that a score of the scale "spread" gives nothing."""


class Score(Struct, frozen=True):
    """`rate` answers a raw number; `scale` brings a decision's numbers to 0..100: as they are, by the largest, by the
    largest and turned round (the raw number counts what is bad), by their range (they may be negative), or turned round
    so that the lowest gets 100 (spread)."""

    name: str
    weight: int
    rate: Callable[[PodInfo, NodeInfo, Any], float]
    prepare: Callable[[PodInfo, Snapshot], Any] = nothing_to_prepare
    scale: Literal["as-is", "largest", "reversed", "range", "spread"] = "as-is"
    local: bool = False
    """As of a filter; the scaled number may still depend on the other nodes."""
    group: Callable[[PodInfo, NodeInfo], Hashable] | None = None
    """Nodes for which this is equal have equal raw numbers, whatever else happened; it holds until the node changes."""


def scaled(numbers: Sequence[float], scale: str) -> list[float]:
    """Raw numbers of one score plugin as 0..100."""
    if scale == "as-is":
        return list(numbers)
    largest = max(numbers, default=0)
    if scale == "range":
        lowest = min(numbers, default=0)
        return [(number - lowest) * SCORE_MAX / ((largest - lowest) or 1) for number in numbers]
    if scale == "spread":
        return _spread(numbers)
    if largest == 0:
        return [SCORE_MAX if scale == "reversed" else 0.0] * len(numbers)
    shares = [number * SCORE_MAX / largest for number in numbers]
    return [SCORE_MAX - share for share in shares] if scale == "reversed" else shares


def _spread(numbers: Sequence[float]) -> list[float]:
    rated = [number for number in numbers if number != NOT_RATED]
    lowest, largest = min(rated, default=0), max(rated, default=0)
    if not largest:
        return [0.0 if number == NOT_RATED else SCORE_MAX for number in numbers]
    return [0.0 if number == NOT_RATED else SCORE_MAX * (largest + lowest - number) / largest for number in numbers]
