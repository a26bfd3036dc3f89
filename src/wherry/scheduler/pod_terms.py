"""Terms of pod affinity and anti-affinity: which pods are meant, and what counts as near them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from msgspec import Struct

from wherry.api.labels import Selector
from wherry.api.types import Obj
from wherry.scheduler.pod_info import PodInfo

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
AFFINITY = "podAffinity"
ANTI_AFFINITY = "podAntiAffinity"
REQUIRED_AFFINITY_WEIGHT = 1
"""kube-scheduler's hardPodAffinityWeight: what a placed pod's required affinity is worth to a newcomer it means."""


class Namespaces(Protocol):
    """The namespaces informer, as far as terms are concerned."""

    def get(self, name: str, namespace: str | None = None) -> Obj | None: ...


class Term(Struct, frozen=True):
    """Equal terms mean the same pods. `matchLabelKeys` are in the selector already: the API server writes them there."""

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

    def means(self, pod: PodInfo, namespaces: Namespaces) -> bool:
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
    affinity = pod.pod["spec"].get("affinity")
    if not affinity:
        return []
    cached = pod.compiled.get(kind + when)
    if cached is None:
        entries = (affinity.get(kind) or {}).get(when) or ()
        if when == REQUIRED:
            cached = [Term.of(entry, pod.namespace) for entry in entries]
        else:
            cached = [(entry["weight"], Term.of(entry["podAffinityTerm"], pod.namespace)) for entry in entries]
        pod.compiled[kind + when] = cached
    return cached


def wishes_of(pod: PodInfo) -> Iterator[tuple[int, Term]]:
    """(weight, term) of what the pod would like; below zero for what it would like to avoid."""
    for weight, term in terms_of(pod, AFFINITY, PREFERRED):
        yield weight, term
    for weight, term in terms_of(pod, ANTI_AFFINITY, PREFERRED):
        yield -weight, term
