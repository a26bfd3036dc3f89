"""topologySpreadConstraints: keep the numbers of matching pods in the zones (or on the nodes) close together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log

from wherry.api import node_selectors
from wherry.api.labels import Selector
from wherry.api.tolerations import tolerates
from wherry.api.types import Obj
from wherry.reconcile.pods import is_terminating
from wherry.scheduler.framework import NOT_RATED, OK, SKIP, Filter, Happening, Score
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.snapshot import Snapshot

_REASON = "node(s) didn't match pod topology spread constraints"
_NO_LABEL = f"{_REASON} (missing required label)"


@dataclass(slots=True)
class _Constraint:
    """One constraint with the number of matching pods in each domain."""

    key: str
    skew_max: int
    domains_min: int
    selector: Selector
    itself: int
    entry: Obj
    keys: list[str]
    """Topology keys of all constraints of the pod: a node without one of them takes no part."""
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def lowest(self) -> int:
        return 0 if len(self.counts) < self.domains_min else min(self.counts.values(), default=0)


def _constraints(pod: PodInfo, snapshot: Snapshot, when: str) -> list[_Constraint]:
    entries = [
        entry for entry in pod.pod["spec"].get("topologySpreadConstraints") or () if entry["whenUnsatisfiable"] == when
    ]
    keys = [entry["topologyKey"] for entry in entries]
    result: list[_Constraint] = []
    for entry in entries:
        labels = pod.pod["metadata"].get("labels") or {}
        selector = _selector(entry, labels)
        constraint = _Constraint(
            entry["topologyKey"],
            entry["maxSkew"],
            entry.get("minDomains") or 1,
            selector,
            int(selector.matches(labels)),
            entry,
            keys,
        )
        for node in snapshot.nodes:
            if _takes_part(constraint, pod, node):
                value = node.labels[constraint.key]
                constraint.counts[value] = constraint.counts.get(value, 0) + _matching(pod, node, selector)
        result.append(constraint)
    return result


def _selector(entry: Obj, labels: dict[str, str]) -> Selector:
    chosen = entry.get("labelSelector")
    own = {key: labels[key] for key in entry.get("matchLabelKeys") or () if key in labels}
    if chosen is not None and own:
        chosen = {**chosen, "matchLabels": {**(chosen.get("matchLabels") or {}), **own}}
    return Selector.from_object(chosen)


def _takes_part(constraint: _Constraint, pod: PodInfo, node: NodeInfo) -> bool:
    """By default only nodes the pod's node affinity allows, tainted ones included."""
    entry = constraint.entry
    if any(key not in node.labels for key in constraint.keys):
        return False
    if entry.get("nodeAffinityPolicy") != "Ignore" and not node_selectors.matches(
        *node_selectors.required(pod.pod), node.name, node.labels
    ):
        return False
    if entry.get("nodeTaintsPolicy") != "Honor":
        return True
    tolerations = pod.pod["spec"].get("tolerations") or ()
    hard = (taint for taint in node.taints if taint["effect"] in ("NoSchedule", "NoExecute"))
    return all(tolerates(tolerations, taint) for taint in hard)


def _matching(pod: PodInfo, node: NodeInfo, selector: Selector) -> int:
    return sum(_counts(pod, other, selector) for other in node.pods.values())


def _counts(pod: PodInfo, other: PodInfo, selector: Selector) -> bool:
    if other.namespace != pod.namespace or is_terminating(other.pod):
        return False
    return selector.matches(other.pod["metadata"].get("labels") or {})


def _moved(pod: PodInfo, constraints: list[_Constraint], other: PodInfo, node: NodeInfo, sign: int) -> None:
    for one in constraints:
        if _counts(pod, other, one.selector) and _takes_part(one, pod, node):
            one.counts[node.labels[one.key]] += sign


def _prepare(pod: PodInfo, snapshot: Snapshot) -> object:
    return _constraints(pod, snapshot, "DoNotSchedule") or SKIP


def _check(pod: PodInfo, node: NodeInfo, constraints: list[_Constraint]) -> Sequence[str]:
    for one in constraints:
        value = node.labels.get(one.key)
        if value is None:
            return (_NO_LABEL,)
        if one.counts.get(value, 0) + one.itself - one.lowest > one.skew_max:
            return (_REASON,)
    return OK


def _prepare_score(pod: PodInfo, snapshot: Snapshot) -> object:
    return _constraints(pod, snapshot, "ScheduleAnyway") or SKIP


def _rate(pod: PodInfo, node: NodeInfo, constraints: list[_Constraint]) -> float:
    """Few pods of the kind are good; domains weigh the more the more of them there are, as in kube-scheduler."""
    if any(one.key not in node.labels for one in constraints):
        return NOT_RATED
    return round(
        sum(
            one.counts.get(node.labels[one.key], 0) * log(len(one.counts) + 2) + one.skew_max - 1 for one in constraints
        )
    )


def _could_go(pod: PodInfo, node: NodeInfo, reasons: Sequence[str]) -> bool:
    return _NO_LABEL not in reasons


_HELPED_BY = frozenset({Happening.NODE_CHANGED, Happening.POD_GONE, Happening.POD_PLACED})
FILTER = Filter("PodTopologySpread", _check, _HELPED_BY, _prepare, evictable=_could_go, moved=_moved)
SCORE = Score("PodTopologySpread", 2, _rate, _prepare_score, scale="spread")
