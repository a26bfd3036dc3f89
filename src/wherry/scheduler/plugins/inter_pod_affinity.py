"""Pods that want to be near others, or away from them: "near" means the same value of a node label, the topology key.

Required terms filter: those of the pod, and the anti-affinity of pods already placed. Preferred terms score: those of the
pod, and what pods already placed prefer about newcomers (their required affinity counts a little too).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from wherry.scheduler.alike import Group
from wherry.scheduler.framework import OK, SKIP, Filter, Happening, Score
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.pod_terms import AFFINITY, ANTI_AFFINITY, REQUIRED, Namespaces, Term, terms_of, wishes_of
from wherry.scheduler.snapshot import Snapshot

Place = tuple[str, str]
"""A topology key and its value on some node."""

_NOT_NEAR = "node(s) didn't match pod affinity rules"


class _State(Struct):
    """Numbers of pods by place; a place nobody is at may be in there with 0."""

    near: list[Term]
    away: list[Term]
    near_at: Counter[Place] = field(default_factory=Counter)
    away_from: Counter[Place] = field(default_factory=Counter)
    kept_away: Counter[Place] = field(default_factory=Counter)
    matches_itself: bool = False


def inter_pod_affinity(namespaces: Namespaces) -> tuple[Filter, Score]:
    """The filter and the score, looking up namespace labels in this informer."""

    def prepare(pod: PodInfo, snapshot: Snapshot) -> object:
        near = terms_of(pod, AFFINITY, REQUIRED)
        away = terms_of(pod, ANTI_AFFINITY, REQUIRED)
        kept_away = _places(snapshot.terms.refusals, pod, namespaces)
        if not near and not away and not kept_away and not snapshot.promised_with_affinity:
            return SKIP
        state = _State(near, away, kept_away=kept_away, matches_itself=all(one.means(pod, namespaces) for one in near))
        if near or away:
            for group in snapshot.alike:
                meant = own_terms_that_mean(state, group.pod)
                for node, number in _where(group, snapshot) if any(meant) else ():
                    count_own(state, meant, node, number)
        return state

    def own_terms_that_mean(state: _State, other: PodInfo) -> tuple[list[Term], list[Term]]:
        """(to be near it, to be away from it); a pod counts as near only if every term means it."""
        near = state.near if all(term.means(other, namespaces) for term in state.near) else []
        return near, [term for term in state.away if term.means(other, namespaces)]

    def count_own(state: _State, meant: tuple[list[Term], list[Term]], node: NodeInfo, number: int) -> None:
        _count(state.near_at, meant[0], node, number)
        _count(state.away_from, meant[1], node, number)

    def moved(pod: PodInfo, state: _State, other: PodInfo, node: NodeInfo, sign: int) -> None:
        count_own(state, own_terms_that_mean(state, other), node, sign)
        theirs = terms_of(other, ANTI_AFFINITY, REQUIRED)
        _count(state.kept_away, (term for term in theirs if term.means(pod, namespaces)), node, sign)

    def check(pod: PodInfo, node: NodeInfo, state: _State) -> Sequence[str]:
        if not _near_enough(node, state):
            return (_NOT_NEAR,)
        if any(number > 0 and node.labels.get(key) == value for (key, value), number in state.away_from.items()):
            return ("node(s) didn't match pod anti-affinity rules",)
        if any(number > 0 and node.labels.get(key) == value for (key, value), number in state.kept_away.items()):
            return ("node(s) didn't satisfy existing pods anti-affinity rules",)
        return OK

    def prepare_score(pod: PodInfo, snapshot: Snapshot) -> object:
        weights = _places(snapshot.terms.wishes, pod, namespaces)
        wishes = list(wishes_of(pod))
        for group in snapshot.alike if wishes else ():
            meant = [(weight, term) for weight, term in wishes if term.means(group.pod, namespaces)]
            for node, number in _where(group, snapshot) if meant else ():
                for weight, term in meant:
                    _count(weights, (term,), node, weight * number)
        return weights or SKIP

    def rate(pod: PodInfo, node: NodeInfo, weights: Counter[Place]) -> float:
        labels = node.labels
        if len(weights) > len(labels):
            return sum(weights.get(place, 0) for place in labels.items())
        return sum(weight for (key, value), weight in weights.items() if labels.get(key) == value)

    helped_by = frozenset({Happening.NODE_CHANGED, Happening.POD_GONE, Happening.POD_PLACED})
    return (
        Filter("InterPodAffinity", check, helped_by, prepare, evictable=_could_go, moved=moved),
        Score("InterPodAffinity", 2, rate, prepare_score, scale="range"),
    )


def _where(group: Group, snapshot: Snapshot) -> Iterable[tuple[NodeInfo, int]]:
    """The nodes that have pods of the group, and how many."""
    return [(node, number) for name, number in group.nodes.items() if (node := snapshot.node(name)) is not None]


def _places(by_term: Mapping[Term, Counter[str]], pod: PodInfo, namespaces: Namespaces) -> Counter[Place]:
    """What the terms that mean the pod say about places."""
    found: Counter[Place] = Counter()
    for term, values in by_term.items():
        if term.means(pod, namespaces):
            for value, weight in values.items():
                found[(term.topology_key, value)] += weight
    return found


def _count(places: Counter[Place], terms: Iterable[Term], node: NodeInfo, weight: int) -> None:
    for term in terms:
        value = node.labels.get(term.topology_key)
        if value is not None:
            places[(term.topology_key, value)] += weight


def _could_go(pod: PodInfo, node: NodeInfo, reasons: Sequence[str]) -> bool:
    """Evicting brings nobody nearer."""
    return _NOT_NEAR not in reasons


def _near_enough(node: NodeInfo, state: _State) -> bool:
    if not state.near:
        return True
    places = [(term.topology_key, node.labels.get(term.topology_key)) for term in state.near]
    if any(value is None for _, value in places):
        return False
    if all(state.near_at[(key, value)] > 0 for key, value in places if value is not None):
        return True
    # The first of a group that wants to be together may go anywhere, else none could ever start.
    return not any(number > 0 for number in state.near_at.values()) and state.matches_itself
