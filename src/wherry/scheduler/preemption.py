"""Making room: which pods of lower priority would have to go so that a pod fits, and on which node. Pure.

Budgets are kept if there is any way to keep them; then fewer and less important victims are better. Pods on their way out
count as gone: waiting for them costs nobody anything. Victims are deleted with their own grace; the pod is tried again
when they are gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct, field

from wherry.api.labels import Selector
from wherry.reconcile.pods import created_at, is_terminating
from wherry.scheduler.decision import Unfit, come, counted, leave, prepared_for, refusal_of
from wherry.scheduler.framework import Filter, Prepared, Refused
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.snapshot import Snapshot

CANDIDATES_MIN = 100
CANDIDATES_PERCENT = 10
"""kube-scheduler's: with so many nodes to choose from, all of them keeping the budgets, no better one is looked for."""
_NO_VICTIMS = "No preemption victims found for incoming pod"
_NO_HELP = "Preemption is not helpful for scheduling"
_PRIORITY_OFFSET = 2**31
"""Makes every priority positive, so that one more victim never makes a sum smaller."""


class Budget(Struct, frozen=True):
    """What a PodDisruptionBudget says now. `announced`: pods that are taken out of `allowed` already."""

    namespace: str
    selector: Selector
    allowed: int
    announced: frozenset[str] = frozenset()

    def covers(self, pod: PodInfo) -> bool:
        """Whether taking the pod takes one out of `allowed`."""
        if pod.namespace != self.namespace or pod.name in self.announced:
            return False
        return not self.selector.is_empty() and self.selector.matches(pod.pod["metadata"].get("labels") or {})


class Preemption(Struct, frozen=True):
    """Room for the pod on `node` once `victims` (and those already leaving) are gone; without a node `explanation` says
    why nothing can be gained. `violations`: how many victims are more than a budget allows. `hopeless`: not even the
    room it was promised before will do, if it was."""

    node: str = ""
    victims: tuple[PodInfo, ...] = ()
    violations: int = 0
    explanation: str = ""
    hopeless: bool = False


class _Candidate(Struct):
    node: NodeInfo
    victims: list[PodInfo] = field(default_factory=list)
    violations: int = 0

    def cost(self) -> tuple[int, int, int, int, float]:
        """kube-scheduler's order: violated budgets, the most important victim, all their importance, how many, and
        whose most important victims started last."""
        if not self.victims:
            return (0, -_PRIORITY_OFFSET, 0, 0, 0.0)
        highest = max(one.priority for one in self.victims)
        return (
            self.violations,
            highest,
            sum(one.priority + _PRIORITY_OFFSET for one in self.victims),
            len(self.victims),
            -min(created_at(one.pod) for one in self.victims if one.priority == highest),
        )


def plan(
    pod: PodInfo,
    unfit: Unfit,
    snapshot: Snapshot,
    filters: Sequence[Filter],
    budgets: Sequence[Budget] = (),
    doomed: frozenset[str] = frozenset(),
) -> Preemption:
    """The cheapest way to make room for `pod`, if there is one and its policy allows it. `doomed`: uids of pods chosen
    as victims before, whose deletion has not been seen yet."""
    if pod.pod["spec"].get("preemptionPolicy") == "Never":
        return Preemption(explanation="not eligible due to preemptionPolicy=Never.")
    promised = snapshot.node(snapshot.nominated(pod.uid))
    if promised is not None and promised in unfit.evictable and _leaving(pod, promised, doomed):
        # Room is being made already: taking more would be waste.
        return Preemption(explanation="not eligible due to a terminating pod on the nominated node.")
    reasons = Counter({_NO_HELP: unfit.total - len(unfit.evictable)})
    found = _candidates(pod, unfit, snapshot, filters, budgets, doomed, reasons)
    if found:
        best = min(found, key=_Candidate.cost)
        return Preemption(best.node.name, tuple(best.victims), best.violations)
    text = f"0/{unfit.total} nodes are available: {counted(+reasons)}." if unfit.total else ""
    return Preemption(explanation=text, hopeless=True)


def _candidates(
    pod: PodInfo,
    unfit: Unfit,
    snapshot: Snapshot,
    filters: Sequence[Filter],
    budgets: Sequence[Budget],
    doomed: frozenset[str],
    reasons: Counter[str],
) -> list[_Candidate]:
    """Nodes where it would work; `reasons` counts why not where it would not."""
    if not unfit.evictable:
        return []
    try:
        prepared = prepared_for(pod, snapshot, filters)
    except Refused:
        return []
    enough = max(CANDIDATES_MIN, unfit.total * CANDIDATES_PERCENT // 100)
    found: list[_Candidate] = []
    keeping = 0
    for node in unfit.evictable:
        candidate = _try_node(pod, node, prepared, budgets, doomed)
        if isinstance(candidate, _Candidate):
            found.append(candidate)
            keeping += not candidate.violations
            if keeping and len(found) >= enough:
                break
        else:
            reasons.update(candidate)
    return found


def _leaving(pod: PodInfo, node: NodeInfo, doomed: frozenset[str]) -> list[PodInfo]:
    return [
        one
        for one in node.pods.values()
        if one.priority < pod.priority and (one.uid in doomed or is_terminating(one.pod))
    ]


def _try_node(
    pod: PodInfo, node: NodeInfo, prepared: Prepared, budgets: Sequence[Budget], doomed: frozenset[str]
) -> _Candidate | Sequence[str]:
    """All pods of lower priority are taken away in thought, then as many as possible are put back: first those whose
    budget would be violated, the important and old ones before others. Else: why not even that helps."""
    leaving = _leaving(pod, node, doomed)
    gone = {one.uid for one in leaving}
    lower = [one for one in node.pods.values() if one.priority < pod.priority and one.uid not in gone]
    if not lower and not leaving:
        return (_NO_VICTIMS,)
    for one in (*leaving, *lower):
        leave(pod, one, node, prepared)
    away = {one.uid: one for one in (*leaving, *lower)}
    try:
        refusal = refusal_of(pod, node, prepared)
        if refusal is not None:
            return refusal[1]
        lower.sort(key=lambda one: (-one.priority, created_at(one.pod)))
        violating, keeping = split_by_budgets(lower, budgets)
        candidate = _Candidate(node)
        for one in (*violating, *keeping):
            come(pod, one, node, prepared)
            if refusal_of(pod, node, prepared) is None:
                del away[one.uid]
                continue
            leave(pod, one, node, prepared)
            candidate.victims.append(one)
        candidate.violations = len(split_by_budgets(candidate.victims, budgets)[0])
        return candidate
    finally:
        for one in away.values():
            come(pod, one, node, prepared)


def split_by_budgets(pods: Sequence[PodInfo], budgets: Sequence[Budget]) -> tuple[list[PodInfo], list[PodInfo]]:
    """(those that cannot all go within the budgets, the others), if they went in this order."""
    left = [budget.allowed for budget in budgets]
    violating: list[PodInfo] = []
    keeping: list[PodInfo] = []
    for pod in pods:
        violates = False
        for number, budget in enumerate(budgets):
            if budget.covers(pod):
                left[number] -= 1
                violates = violates or left[number] < 0
        (violating if violates else keeping).append(pod)
    return violating, keeping
