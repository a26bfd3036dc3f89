"""Does a node answer what a pod or a volume asks of its labels and its name? nodeSelector and node affinity terms.

Pure. Source: the documented behaviour of NodeSelectorTerm (core/v1): expressions and fields of one term are joined by
"and", terms by "or", and a term that asks nothing matches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from wherry.api.integers import atoi
from wherry.api.types import Obj


def term_matches(term: Obj, name: str, labels: Mapping[str, str]) -> bool:
    """All expressions and fields of one term; a term without any matches no node."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_holds(one, labels) for one in expressions) and all(
        _holds(one, {"metadata.name": name}) for one in fields
    )


def required(pod: Obj) -> tuple[dict[str, str], list[Obj] | None]:
    """The pod's nodeSelector and the terms of which one must match; None when there are no terms."""
    spec = pod["spec"]
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    needs = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return spec.get("nodeSelector") or {}, None if needs is None else needs.get("nodeSelectorTerms") or []


def matches(selector: Mapping[str, str], terms: Sequence[Obj] | None, name: str, labels: Mapping[str, str]) -> bool:
    """Both halves of what `required` gives."""
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    return terms is None or any(term_matches(term, name, labels) for term in terms)


def named_nodes(pod: Obj) -> frozenset[str] | None:
    """The only nodes whose names the pod's terms allow, as with the pods of a DaemonSet; None if any name will do."""
    affinity = pod["spec"].get("affinity")
    if not affinity:
        return None
    terms = required(pod)[1]
    if not terms:
        return None
    names: set[str] = set()
    for term in terms:
        listed = [set(one.get("values") or ()) for one in term.get("matchFields") or () if one["operator"] == "In"]
        if not listed:
            return None
        names |= set.intersection(*listed)
    return frozenset(names)


def _holds(requirement: Obj, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement["key"])
    values = requirement.get("values") or ()
    return _OPERATORS[requirement["operator"]](value, values)


def _compare(larger: bool) -> Callable[[str | None, Sequence[str]], bool]:
    def compare(value: str | None, values: Sequence[str]) -> bool:
        try:
            left, right = atoi(value or ""), atoi(values[0])
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
