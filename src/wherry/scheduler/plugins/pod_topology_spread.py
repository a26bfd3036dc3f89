"""topologySpreadConstraints: keep the numbers of matching pods in the zones (or on the nodes) close together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log

from msgspec import Struct, field

from wherry.api import json, node_selectors
from wherry.api.labels import Selector
from wherry.api.tolerations import tolerates
from wherry.api.types import Obj
from wherry.reconcile.pods import is_terminating
from wherry.scheduler.framework import NOT_RATED, OK, SKIP, Filter, Happening, Score
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.snapshot import Snapshot

Needs = tuple[dict[str, str], list[Obj] | None]
"""nodeSelector and terms of the required node affinity."""
DOMAINS_KEPT_MAX = 64
_REASON = "node(s) didn't match pod topology spread constraints"
_NO_LABEL = f"{_REASON} (missing required label)"


class _Constraint(Struct):
    """One constraint with the number of matching pods in each domain."""

    key: str
    skew_max: int
    domains_min: int
    selector: Selector
    itself: int
    entry: Obj
    keys: list[str]
    """Topology keys of all constraints of the pod: a node without one of them takes no part."""
    needs: Needs | None
    """What the pod asks of a node's labels, where that decides who takes part."""
    counts: dict[str, int] = field(default_factory=dict)
    _lowest: int | None = None

    @property
    def lowest(self) -> int:
        if self._lowest is None:
            self._lowest = 0 if len(self.counts) < self.domains_min else min(self.counts.values(), default=0)
        return self._lowest

    def move(self, value: str, number: int) -> None:
        """So many more pods are in the domain."""
        self.counts[value] += number
        self._lowest = None


def _constraints(pod: PodInfo, snapshot: Snapshot, when: str) -> list[_Constraint]:
    entries = [
        entry for entry in pod.pod["spec"].get("topologySpreadConstraints") or () if entry["whenUnsatisfiable"] == when
    ]
    keys = [entry["topologyKey"] for entry in entries]
    selected, terms = node_selectors.required(pod.pod)
    needs = (selected, terms) if selected or terms is not None else None
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
            needs if entry.get("nodeAffinityPolicy") != "Ignore" else None,
        )
        domains = _domains(constraint, pod, snapshot)
        constraint.counts = dict.fromkeys(domains.values(), 0)
        for name, number in _there(pod, snapshot, selector).items():
            if name in domains:
                constraint.counts[domains[name]] += number
        result.append(constraint)
    return result


def _domains(constraint: _Constraint, pod: PodInfo, snapshot: Snapshot) -> dict[str, str]:
    """Name of a node that takes part -> its domain; pods alike ask for the same, and nodes hardly change."""
    honours = constraint.entry.get("nodeTaintsPolicy") == "Honor"
    tolerations = pod.pod["spec"].get("tolerations") if honours else None
    asked = json.encode([constraint.key, constraint.keys, constraint.needs, honours, tolerations])
    known: dict[str, str] | None = snapshot.of_nodes.get(asked)
    if known is None:
        if len(snapshot.of_nodes) >= DOMAINS_KEPT_MAX:
            snapshot.of_nodes.clear()
        part = [node for node in snapshot.nodes if _takes_part(constraint, pod, node)]
        known = snapshot.of_nodes[asked] = {node.name: node.labels[constraint.key] for node in part}
    return known


def _there(pod: PodInfo, snapshot: Snapshot, selector: Selector) -> Mapping[str, int]:
    """How many pods each node has that count."""
    found = [group.nodes for group in snapshot.alike if not group.going and _counts(pod, group.pod, selector)]
    if len(found) == 1:
        return found[0]
    total: Counter[str] = Counter()
    for nodes in found:
        total.update(nodes)
    return total


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
    if constraint.needs is not None and not node_selectors.matches(*constraint.needs, node.name, node.labels):
        return False
    if entry.get("nodeTaintsPolicy") != "Honor":
        return True
    tolerations = pod.pod["spec"].get("tolerations") or ()
    hard = (taint for taint in node.taints if taint["effect"] in ("NoSchedule", "NoExecute"))
    return all(tolerates(tolerations, taint) for taint in hard)


def _counts(pod: PodInfo, other: PodInfo, selector: Selector) -> bool:
    """Whether `other` is one of the pods meant, as long as it is not on its way out."""
    if other.namespace != pod.namespace:
        return False
    return selector.matches(other.pod["metadata"].get("labels") or {})


def _moved(pod: PodInfo, constraints: list[_Constraint], other: PodInfo, node: NodeInfo, sign: int) -> None:
    for one in constraints:
        if not is_terminating(other.pod) and _counts(pod, other, one.selector) and _takes_part(one, pod, node):
            one.move(node.labels[one.key], sign)


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
