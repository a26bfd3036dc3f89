"""nodeSelector and node affinity: which labels a node must or should have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wherry.api.types import Obj
from wherry.scheduler.framework import OK, SKIP, Filter, Happening, Score
from wherry.scheduler.snapshot import NodeInfo, PodInfo, Snapshot

REASON = "node(s) didn't match Pod's node affinity/selector"


def term_matches(term: Obj, node: NodeInfo) -> bool:
    """All expressions and fields of one term; a term without any matches no node."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_holds(one, node.labels) for one in expressions) and all(
        _holds(one, {"metadata.name": node.name}) for one in fields
    )


def _holds(requirement: Obj, labels: dict[str, str]) -> bool:
    value = labels.get(requirement["key"])
    values = requirement.get("values") or ()
    return _OPERATORS[requirement["operator"]](value, values)


def _compare(larger: bool) -> Callable[[str | None, Sequence[str]], bool]:
    def compare(value: str | None, values: Sequence[str]) -> bool:
        try:
            left, right = int(value or ""), int(values[0])
        except (ValueError, IndexError):
            return False
        return left > right if larger else left < right

    return compare


_OPERATORS: dict[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, values: value is not None and value in values,
    "NotIn": lambda value, values: value is None or value not in values,
    "Exists": lambda value, values: value is not None,
    "DoesNotExist": lambda value, values: value is None,
    "Gt": _compare(larger=True),
    "Lt": _compare(larger=False),
}


def required(pod: Obj) -> tuple[dict[str, str], list[Obj] | None]:
    """The pod's nodeSelector and the terms of which one must match; None when there are no terms."""
    spec = pod["spec"]
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    needs = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return spec.get("nodeSelector") or {}, None if needs is None else needs.get("nodeSelectorTerms") or []


def matches(selector: dict[str, str], terms: list[Obj] | None, node: NodeInfo) -> bool:
    if any(node.labels.get(key) != value for key, value in selector.items()):
        return False
    return terms is None or any(term_matches(term, node) for term in terms)


def _required(pod: PodInfo, snapshot: Snapshot) -> Any:
    selector, terms = required(pod.pod)
    return SKIP if not selector and terms is None else (selector, terms)


def _filter(pod: PodInfo, node: NodeInfo, state: tuple[dict[str, str], list[Obj] | None]) -> Sequence[str]:
    return OK if matches(*state, node) else (REASON,)


def _preferred(pod: PodInfo, snapshot: Snapshot) -> Any:
    affinity = (pod.pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    return affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or SKIP


def _score(pod: PodInfo, node: NodeInfo, preferred: list[Obj]) -> float:
    return float(sum(one["weight"] for one in preferred if term_matches(one["preference"], node)))


FILTER = Filter("NodeAffinity", _filter, frozenset({Happening.NODE_CHANGED}), _required)
SCORE = Score("NodeAffinity", 2, _score, _preferred, scale="largest")
