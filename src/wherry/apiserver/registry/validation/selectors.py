"""Label selectors, node selectors and the rule that a workload's selector picks its own template."""

from __future__ import annotations

from typing import Any

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f

BAD_OPERATOR = "not a valid selector operator"
NEEDS_VALUES = "must be specified when `operator` is 'In' or 'NotIn'"
NEEDS_ONE_VALUE = "must be specified single value when `operator` is 'Lt' or 'Gt'"
NO_VALUES = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
MISMATCH = "`selector` does not match template `labels`"


def shown(selector: Obj | None) -> Obj | None:
    """A label selector as error texts show it: as Go writes it, whatever the order it was sent in."""
    if selector is None:
        return None
    found: Obj = {}
    if selector.get("matchLabels"):
        found["matchLabels"] = f.in_order(selector["matchLabels"])
    if selector.get("matchExpressions"):
        found["matchExpressions"] = [
            {key: each[key] for key in ("key", "operator", "values") if key in each}
            for each in selector["matchExpressions"]
        ]
    return found


def unchanged(new: Obj | None, old: Obj | None, path: str) -> list[Cause]:
    """An immutable label selector."""
    return [] if (new or None) == (old or None) else [f.invalid(path, shown(new), f.IMMUTABLE)]


def label_selector(selector: Obj | None, path: str) -> list[Cause]:
    """metav1.LabelSelector; None is fine."""
    if selector is None:
        return []
    causes = f.labels(selector.get("matchLabels"), f"{path}.matchLabels")
    for i, expression in enumerate(f.as_list(selector.get("matchExpressions"))):
        causes += _requirement(expression, f"{path}.matchExpressions[{i}]")
    return causes


def _requirement(expression: Obj, path: str) -> list[Cause]:
    operator = expression.get("operator", "")
    values = f.as_list(expression.get("values"))
    causes = _operator(operator, values, path)
    key = expression.get("key", "")
    causes += f.qualified(key, f"{path}.key")
    for i, value in enumerate(values):
        causes += f.each_invalid(f"{path}.values[{i}]", value, names.label_value(value))
    return causes


def node_selector_term(term: Obj, path: str, strict: bool = False) -> list[Cause]:
    """One term of a node affinity: expressions on labels and on fields. `strict`: values must be such that a label can have
    them, which Kubernetes asks of what is required and not of what is preferred."""
    causes: list[Cause] = []
    for i, expression in enumerate(f.as_list(term.get("matchExpressions"))):
        at = f"{path}.matchExpressions[{i}]"
        causes += _node_requirement(expression, at)
        for k, value in enumerate(f.as_list(expression.get("values")) if strict else ()):
            causes += f.each_invalid(f"{at}.values[{k}]", value, names.label_value(value))
    for i, expression in enumerate(f.as_list(term.get("matchFields"))):
        causes += _field_requirement(expression, f"{path}.matchFields[{i}]")
    return causes


def node_selector(selector: Obj, path: str) -> list[Cause]:
    terms = f.as_list(selector.get("nodeSelectorTerms"))
    if not terms:
        return [f.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")]
    return [
        cause
        for i, term in enumerate(terms)
        for cause in node_selector_term(term, f"{path}.nodeSelectorTerms[{i}]", strict=True)
    ]


def _node_requirement(expression: Obj, path: str) -> list[Cause]:
    operator = expression.get("operator", "")
    values = f.as_list(expression.get("values"))
    if operator not in ("Gt", "Lt"):
        causes = _operator(operator, values, path)
    elif len(values) != 1:
        causes = [f.required(f"{path}.values", NEEDS_ONE_VALUE)]
    else:
        causes = []
    return causes + f.qualified(expression.get("key", ""), f"{path}.key")


def _operator(operator: str, values: list[Any], path: str) -> list[Cause]:
    """Whether it is one of those that every selector knows, and has values if it needs some."""
    if operator in ("In", "NotIn"):
        return [] if values else [f.required(f"{path}.values", NEEDS_VALUES)]
    if operator in ("Exists", "DoesNotExist"):
        return [f.forbidden(f"{path}.values", NO_VALUES)] if values else []
    return [f.invalid(f"{path}.operator", operator, BAD_OPERATOR)]


def _field_requirement(expression: Obj, path: str) -> list[Cause]:
    operator = expression.get("operator", "")
    values = f.as_list(expression.get("values"))
    causes: list[Cause] = []
    if operator not in ("In", "NotIn"):
        causes.append(f.invalid(f"{path}.operator", operator, BAD_OPERATOR))
    elif len(values) != 1:
        causes.append(
            f.required(
                f"{path}.values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            )
        )
    key = expression.get("key", "")
    if key != "metadata.name":
        return [*causes, f.invalid(f"{path}.key", key, "not a valid field selector key")]
    for i, value in enumerate(values):
        causes += f.each_invalid(f"{path}.values[{i}]", value, names.dns1123_subdomain(value))
    return causes
