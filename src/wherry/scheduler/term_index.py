"""What placed pods say about newcomers, added up by term: replicas say the same, so thousands of pods have a few terms.

Whether a newcomer is concerned is then asked once per term and not once per pod. Bounded by the distinct terms of placed
pods times the values of their topology keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.pod_terms import (
    AFFINITY,
    ANTI_AFFINITY,
    REQUIRED,
    REQUIRED_AFFINITY_WEIGHT,
    Term,
    terms_of,
    wishes_of,
)


class TermIndex:
    """`refusals` and `wishes`: term -> value of its topology key -> how many pods there, how much weight in all."""

    def __init__(self) -> None:
        self.refusals: dict[Term, Counter[str]] = {}
        self.wishes: dict[Term, Counter[str]] = {}

    def count(self, pod: PodInfo, labels: Mapping[str, str], sign: int) -> None:
        """The pod came to (+1) or left (-1) a node with these labels."""
        if not pod.pod["spec"].get("affinity"):
            return
        for term in terms_of(pod, ANTI_AFFINITY, REQUIRED):
            _add(self.refusals, term, labels, sign)
        for weight, term in wishes_of(pod):
            _add(self.wishes, term, labels, sign * weight)
        for term in terms_of(pod, AFFINITY, REQUIRED):
            _add(self.wishes, term, labels, sign * REQUIRED_AFFINITY_WEIGHT)


def _add(into: dict[Term, Counter[str]], term: Term, labels: Mapping[str, str], weight: int) -> None:
    value = labels.get(term.topology_key)
    if value is None:
        return
    values = into.setdefault(term, Counter())
    values[value] += weight
    if not values[value]:
        del values[value]
        if not values:
            del into[term]
