"""`matchLabelKeys` and `mismatchLabelKeys` of a pod's affinity terms: what they stand for is written into the term's selector
when the pod is made, so that whoever schedules it reads selectors only. Keys the pod has no label for say nothing."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f

_OPERATORS = (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))


def merge(spec: Obj, labels: Obj) -> None:
    """In place; `spec` is a new pod's own draft."""
    for term in _terms(f.as_dict(spec.get("affinity"))):
        selector = term.get("labelSelector")
        if selector is None:
            continue
        added = [
            {"key": key, "operator": operator, "values": [labels[key]]}
            for field, operator in _OPERATORS
            for key in f.as_list(term.get(field))
            if key in labels
        ]
        if added:
            selector["matchExpressions"] = [*f.as_list(selector.get("matchExpressions")), *added]


def _terms(affinity: Obj) -> Iterator[Obj]:
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = f.as_dict(affinity.get(kind))
        yield from f.as_list(rules.get("requiredDuringSchedulingIgnoredDuringExecution"))
        for preferred in f.as_list(rules.get("preferredDuringSchedulingIgnoredDuringExecution")):
            yield f.as_dict(preferred.get("podAffinityTerm"))
