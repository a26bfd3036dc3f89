"""What is wrong with the rules in a schema, when its definition is written: grammar, types, costs, places.

Texts, order and limits are Kubernetes'. If any rule is badly formed, none is compiled, since one mistake would be told twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.extensions.paths import PathError, parse
from wherry.apiserver.extensions.rule_compiling import Place, Rule
from wherry.apiserver.extensions.structural import LIST_TYPE, MAP_TYPE, RULES
from wherry.apiserver.registry.validation import field
from wherry.cel.costs import UNLIMITED

RULE_COST_MAX: Final = 10_000_000
SCHEMA_COST_MAX: Final = 100_000_000
_EXPENSIVE_SHOWN: Final = 4
_REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_HINT: Final = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength "
    "where arrays, maps, and strings are declared)"
)


class _At(NamedTuple):
    """
    path          of the place, in the definition
    props         of the structural schema there
    rules         from it, or from an allOf that speaks about it
    root          a whole resource
    cardinality   how many values may be there in one object; None when nothing limits it
    uncorrelated  path of the list above it whose elements have no identity, or ""
    """

    path: str
    props: Obj
    rules: list[Obj]
    root: bool
    cardinality: int | None
    uncorrelated: str


def check(schema: Obj, path: str) -> list[Cause]:
    """All problems of the rules in the schema at `path`."""
    places = list(_places(_At(path, schema, schema.get(RULES) or [], True, 1, "")))
    malformed = [cause for at in places for cause in _malformed(at)]
    if malformed:
        return malformed
    causes: list[Cause] = []
    costs: list[tuple[int, str]] = []
    for at in places:
        if at.rules:
            causes += _uncompiled(at, costs)
    total = sum(cost for cost, _ in costs)
    if total > SCHEMA_COST_MAX:
        dear = sorted(costs, key=lambda each: -each[0])[:_EXPENSIVE_SHOWN]
        text = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        causes += [field.forbidden(where, text) for _, where in dear]
        whole = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        causes.append(field.forbidden(path, _too_dear(whole, total, SCHEMA_COST_MAX)))
    return causes


def _places(at: _At) -> Iterator[_At]:
    """The place and all below it, in the order Kubernetes looks at them."""
    yield at
    props = at.props
    atomic = at.path if props.get(MAP_TYPE) == "atomic" else at.uncorrelated
    for name, child in sorted((props.get("properties") or {}).items()):
        yield from _places(_below(at, child, f"properties[{name}]", 1, atomic))
    more = props.get("additionalProperties")
    if isinstance(more, dict):
        yield from _places(_below(at, more, "additionalProperties", props.get("maxProperties"), atomic))
    items = props.get("items")
    if isinstance(items, dict):
        apart = at.uncorrelated if props.get(LIST_TYPE) == "map" else at.uncorrelated or at.path
        yield from _places(_below(at, items, "items", props.get("maxItems"), apart))
    for index, part in enumerate(props.get("allOf") or ()):
        if isinstance(part, dict) and part.get(RULES):
            yield at._replace(path=f"{at.path}.allOf[{index}]", rules=part[RULES])


def _below(at: _At, props: Obj, step: str, most: Any, uncorrelated: str) -> _At:
    known = at.cardinality is not None and isinstance(most, int)
    cardinality = min((at.cardinality or 0) * max(most, 0), UNLIMITED) if known else None
    embedded = bool(props.get("x-kubernetes-embedded-resource"))
    return _At(f"{at.path}.{step}", props, props.get(RULES) or [], embedded, cardinality, uncorrelated)


def _malformed(at: _At) -> Iterator[Cause]:
    for index, rule in enumerate(at.rules):
        path = f"{at.path}.{RULES}[{index}]"
        text = str(rule.get("rule") or "").strip()
        if not text:
            yield field.required(f"{path}.rule", "rule is not specified")
        yield from _message(path, rule, text)
        expression = rule.get("messageExpression") or ""
        if expression and not expression.strip():
            yield field.required(f"{path}.messageExpression", "must be non-empty if specified")
        reason = rule.get("reason")
        if reason is not None and reason not in _REASONS:
            yield field.not_supported(f"{path}.reason", reason, _REASONS)
        where = rule.get("fieldPath") or ""
        if where and not where.strip():
            yield field.invalid(f"{path}.fieldPath", where, "must be non-empty if specified")
        elif "\n" in where:
            yield field.invalid(f"{path}.fieldPath", where, "must not contain line breaks")
        elif where and not _leads(where.strip(), at.props):
            yield field.invalid(f"{path}.fieldPath", where, "must be a valid path")


def _message(path: str, rule: Obj, text: str) -> Iterator[Cause]:
    message = rule.get("message") or ""
    if message and not message.strip():
        yield field.invalid(f"{path}.message", message, "must be non-empty if specified")
    elif "\n" in message.strip():
        yield field.invalid(f"{path}.message", message, "must not contain line breaks")
    elif "\n" in text and not message:
        yield field.required(f"{path}.message", "must be specified if rule contains line breaks")


def _leads(where: str, props: Obj) -> bool:
    """Whether a fieldPath names a place below the schema: fields and keys of maps only."""
    if not where.startswith((".", "[")):
        return False
    try:
        steps = parse(where)
    except PathError:
        return False
    for kind, name in steps:
        if kind != "field":
            return False
        if props.get("properties"):
            if name not in props["properties"]:
                return False
            props = props["properties"][name]
        elif isinstance(props.get("additionalProperties"), dict):
            props = props["additionalProperties"]
        else:
            return False
    return True


def _uncompiled(at: _At, costs: list[tuple[int, str]]) -> Iterator[Cause]:
    place = Place(at.props, at.root)
    for index, props in enumerate(at.rules):
        path = f"{at.path}.{RULES}[{index}]"
        if place.shape is None:
            text = "rules are not supported where the schema says no type"
            yield field.invalid(f"{path}.rule", None, text)
            continue
        rule = place.compile(props)
        yield from _cost(f"{path}.rule", "estimated rule cost", _times(rule.cost, at, place), costs)
        if rule.error:
            yield _invalid_rule(f"{path}.rule", props, rule.error)
        if rule.message_error:
            yield _invalid_rule(f"{path}.messageExpression", props, rule.message_error)
        elif rule.message is not None:
            cost = _times(rule.message_cost, at, place)
            yield from _cost(f"{path}.messageExpression", "estimated messageExpression cost", cost, costs)
        yield from _old(path, rule, at)


def _old(path: str, rule: Rule, at: _At) -> Iterator[Cause]:
    if rule.uses_old and at.uncorrelated:
        text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {at.uncorrelated}"
        yield field.invalid(f"{path}.rule", rule.props["rule"], text)
    elif not rule.uses_old and rule.props.get("optionalOldSelf") is not None:
        text = "may not be set if oldSelf is not used in rule"
        yield field.invalid(f"{path}.optionalOldSelf", rule.props["optionalOldSelf"], text)


def _times(cost: int, at: _At, place: Place) -> int:
    return min(cost * (place.cardinality if at.cardinality is None else at.cardinality), UNLIMITED)


def _cost(path: str, name: str, cost: int, costs: list[tuple[int, str]]) -> Iterator[Cause]:
    costs.append((cost, path))
    if cost > RULE_COST_MAX:
        yield field.forbidden(path, _too_dear(name, cost, RULE_COST_MAX))


def _too_dear(name: str, cost: int, limit: int) -> str:
    times = cost / limit
    shown = "more than 100x" if times > 100 else f"{times:.6f}x" if times < 1.5 else f"{times:.1f}x"
    return f"{name} exceeds budget by factor of {shown} {_HINT}"


def _invalid_rule(path: str, rule: Obj, text: str) -> Cause:
    """The rule as Kubernetes shows it: its Go struct as JSON."""
    shown = json.dumps(
        {
            "Rule": rule.get("rule", ""),
            "Message": rule.get("message", ""),
            "MessageExpression": rule.get("messageExpression", ""),
            "Reason": rule.get("reason"),
            "FieldPath": rule.get("fieldPath", ""),
            "OptionalOldSelf": rule.get("optionalOldSelf"),
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
    for letter in "<>&":
        shown = shown.replace(letter, f"\\u{ord(letter):04x}")
    return Cause("FieldValueInvalid", f"Invalid value: {shown}: {text}", path)
