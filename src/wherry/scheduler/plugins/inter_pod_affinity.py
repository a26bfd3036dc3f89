"""Pods that want to be near others, or away from them: "near" means the same value of a node label, the topology key.

Required terms filter, preferred terms of the pod being placed score. Preferences that pods already placed have about
newcomers do not count here; kube-scheduler adds those to the score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from wherry.api.labels import Selector
from wherry.api.types import Obj
from wherry.scheduler.framework import OK, SKIP, Filter, Happening, Score
from wherry.scheduler.snapshot import NodeInfo, PodInfo, Snapshot

Place = tuple[str, str]
"""A topology key and its value on some node."""

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


class Lookup(Protocol):
    """The namespaces informer, as far as this rule is concerned."""

    def get(self, name: str, namespace: str | None = None) -> Obj | None: ...


@dataclass(frozen=True, slots=True)
class Term:
    """Which pods are meant, and what counts as near."""

    selector: Selector
    namespaces: frozenset[str]
    namespace_selector: Selector
    topology_key: str

    @classmethod
    def of(cls, term: Obj, namespace: str) -> Term:
        names = frozenset(term.get("namespaces") or ())
        selector = term.get("namespaceSelector")
        if not names and selector is None:
            names = frozenset({namespace})
        meant = Selector.from_object(term.get("labelSelector"))
        return cls(meant, names, Selector.from_object(selector), term["topologyKey"])

    def means(self, pod: PodInfo, namespaces: Lookup) -> bool:
        if not self.selector.matches(pod.pod["metadata"].get("labels") or {}):
            return False
        if pod.namespace in self.namespaces:
            return True
        if self.namespace_selector.selects_nothing:
            return False
        namespace = namespaces.get(pod.namespace)
        return namespace is not None and self.namespace_selector.matches(namespace["metadata"].get("labels") or {})


def terms_of(pod: PodInfo, kind: str, when: str) -> list[Any]:
    """Terms of `podAffinity` or `podAntiAffinity`: plain ones when required, (weight, term) when preferred."""
    cached = pod.compiled.get(kind + when)
    if cached is None:
        entries = ((pod.pod["spec"].get("affinity") or {}).get(kind) or {}).get(when) or ()
        if when == _REQUIRED:
            cached = [Term.of(entry, pod.namespace) for entry in entries]
        else:
            cached = [(entry["weight"], Term.of(entry["podAffinityTerm"], pod.namespace)) for entry in entries]
        pod.compiled[kind + when] = cached
    return cached


@dataclass(slots=True)
class _State:
    near: list[Term]
    near_at: Counter[Place] = field(default_factory=Counter)
    away_from: Counter[Place] = field(default_factory=Counter)
    kept_away: Counter[Place] = field(default_factory=Counter)
    matches_itself: bool = False


def inter_pod_affinity(namespaces: Lookup) -> tuple[Filter, Score]:
    """The filter and the score, looking up namespace labels in this informer."""

    def prepare(pod: PodInfo, snapshot: Snapshot) -> object:
        near = terms_of(pod, "podAffinity", _REQUIRED)
        away = terms_of(pod, "podAntiAffinity", _REQUIRED)
        if not near and not away and not snapshot.with_anti_affinity:
            return SKIP
        state = _State(near, matches_itself=all(term.means(pod, namespaces) for term in near))
        for node in snapshot.nodes:
            for other in node.pods.values():
                # A pod counts as near only if every term means it.
                if near and all(term.means(other, namespaces) for term in near):
                    _count(state.near_at, near, node, 1)
                _count(state.away_from, (term for term in away if term.means(other, namespaces)), node, 1)
                if snapshot.with_anti_affinity:
                    theirs = terms_of(other, "podAntiAffinity", _REQUIRED)
                    _count(state.kept_away, (term for term in theirs if term.means(pod, namespaces)), node, 1)
        return state

    def check(pod: PodInfo, node: NodeInfo, state: _State) -> Sequence[str]:
        if not _near_enough(node, state):
            return ("node(s) didn't match pod affinity rules",)
        here = set(node.labels.items())
        if any(place in here for place in state.away_from):
            return ("node(s) didn't match pod anti-affinity rules",)
        if any(place in here for place in state.kept_away):
            return ("node(s) didn't satisfy existing pods anti-affinity rules",)
        return OK

    def prepare_score(pod: PodInfo, snapshot: Snapshot) -> object:
        wishes = [(weight, term) for weight, term in terms_of(pod, "podAffinity", _PREFERRED)]
        wishes += [(-weight, term) for weight, term in terms_of(pod, "podAntiAffinity", _PREFERRED)]
        if not wishes:
            return SKIP
        weights: Counter[Place] = Counter()
        for node in snapshot.nodes:
            for other in node.pods.values():
                for weight, term in wishes:
                    if term.means(other, namespaces):
                        _count(weights, (term,), node, weight)
        return weights

    def rate(pod: PodInfo, node: NodeInfo, weights: Counter[Place]) -> float:
        return sum(weight for (key, value), weight in weights.items() if node.labels.get(key) == value)

    helped_by = frozenset({Happening.NODE_CHANGED, Happening.POD_GONE, Happening.POD_PLACED})
    return (
        Filter("InterPodAffinity", check, helped_by, prepare, evictable=True),
        Score("InterPodAffinity", 2, rate, prepare_score, scale="range"),
    )


def _count(places: Counter[Place], terms: Iterable[Term], node: NodeInfo, weight: int) -> None:
    for term in terms:
        value = node.labels.get(term.topology_key)
        if value is not None:
            places[(term.topology_key, value)] += weight


def _near_enough(node: NodeInfo, state: _State) -> bool:
    if not state.near:
        return True
    places = [(term.topology_key, node.labels.get(term.topology_key)) for term in state.near]
    if any(value is None for _, value in places):
        return False
    if all(place in state.near_at for place in places):
        return True
    # The first of a group that wants to be together may go anywhere, else none could ever start.
    return not state.near_at and state.matches_itself
