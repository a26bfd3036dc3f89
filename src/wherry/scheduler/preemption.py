"""Making room: which pods of lower priority would have to go so that a pod fits, and on which node. Pure.

Fewer and less important victims are better. Victims are deleted with their own grace; the pod is tried again when they
are gone. Disruption budgets are not looked at here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from wherry.reconcile.pods import created_at, is_terminating
from wherry.scheduler.decision import Unfit, counted, fits
from wherry.scheduler.framework import Filter
from wherry.scheduler.snapshot import NodeInfo, PodInfo, Snapshot

_NO_VICTIMS = "No preemption victims found for incoming pod"
_NO_HELP = "Preemption is not helpful for scheduling"


@dataclass(frozen=True, slots=True)
class Preemption:
    """Delete `victims` on `node`; without victims `explanation` says why nothing can be gained."""

    node: str = ""
    victims: tuple[PodInfo, ...] = ()
    explanation: str = ""


def plan(pod: PodInfo, unfit: Unfit, snapshot: Snapshot, filters: Sequence[Filter]) -> Preemption:
    """The cheapest way to make room for `pod`, if there is one and its policy allows it."""
    if pod.pod["spec"].get("preemptionPolicy") == "Never":
        return Preemption(explanation="not eligible due to preemptionPolicy=Never.")
    if _is_waiting_for_victims(pod, snapshot):
        return Preemption(explanation="not eligible due to a terminating pod on the nominated node.")
    best: tuple[tuple[int, int, int, float], NodeInfo, list[PodInfo]] | None = None
    for node in unfit.evictable:
        victims = _victims(pod, node, snapshot, filters)
        if victims:
            cost = (
                max(one.priority for one in victims),
                sum(one.priority for one in victims),
                len(victims),
                -min(created_at(one.pod) for one in victims),
            )
            if best is None or cost < best[0]:
                best = (cost, node, victims)
    if best is not None:
        return Preemption(best[1].name, tuple(best[2]))
    return Preemption(explanation=_explain(unfit))


def _is_waiting_for_victims(pod: PodInfo, snapshot: Snapshot) -> bool:
    """Room is being made already: taking more would be waste."""
    node = snapshot.node(pod.pod.get("status", {}).get("nominatedNodeName", ""))
    return node is not None and any(
        one.priority < pod.priority and is_terminating(one.pod) for one in node.pods.values()
    )


def _explain(unfit: Unfit) -> str:
    if unfit.total == 0:
        return ""
    hopeful = len(unfit.evictable)
    reasons = Counter({_NO_VICTIMS: hopeful, _NO_HELP: unfit.total - hopeful})
    return f"0/{unfit.total} nodes are available: {counted(+reasons)}."


def _victims(pod: PodInfo, node: NodeInfo, snapshot: Snapshot, filters: Sequence[Filter]) -> list[PodInfo]:
    """The fewest pods of lower priority without which the pod fits: all of them are taken away in thought, then as
    many as possible are put back, the important and old ones first. Empty if even that does not help."""
    lower = [one for one in node.pods.values() if one.priority < pod.priority and not is_terminating(one.pod)]
    if not lower:
        return []
    for one in lower:
        node.remove(one.uid)
    victims: list[PodInfo] = []
    try:
        if not fits(pod, node, snapshot, filters):
            return []
        for one in sorted(lower, key=lambda one: (-one.priority, created_at(one.pod))):
            node.add(one)
            if not fits(pod, node, snapshot, filters):
                node.remove(one.uid)
                victims.append(one)
    finally:
        for one in lower:
            node.add(one)
    return victims
