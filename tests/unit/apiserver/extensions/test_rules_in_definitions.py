"""x-kubernetes-validations in a definition: mistakes, and costs that cannot be borne, with Kubernetes' texts."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.apiserver.extensions.rules import problems

AT = "spec.validation.openAPIV3Schema"
DEAR = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"


def told(props: dict[str, Any], *rules: dict[str, Any]) -> list[tuple[str, str]]:
    """(end of the path, message) of what is wrong with rules at property `a`."""
    schema = {"type": "object", "properties": {"a": props | {"x-kubernetes-validations": list(rules)}}}
    prefix = f"{AT}.properties[a].x-kubernetes-validations"
    return [(cause.field.removeprefix(prefix), cause.message) for cause in problems(schema, AT)]


@pytest.mark.parametrize(
    ("rule", "where", "message"),
    [
        ({"rule": " "}, "[0].rule", "Required value: rule is not specified"),
        ({"rule": "true", "message": " "}, "[0].message", 'Invalid value: " ": must be non-empty if specified'),
        ({"rule": "true", "message": "a\nb"}, "[0].message", 'Invalid value: "a\\nb": must not contain line breaks'),
        ({"rule": "true\n&& true"}, "[0].message", "Required value: must be specified if rule contains line breaks"),
        ({"rule": "true", "fieldPath": ".c"}, "[0].fieldPath", 'Invalid value: ".c": must be a valid path'),
        ({"rule": "true", "fieldPath": "b"}, "[0].fieldPath", 'Invalid value: "b": must be a valid path'),
        ({"rule": "true", "fieldPath": ".m[0]"}, "[0].fieldPath", 'Invalid value: ".m[0]": must be a valid path'),
        ({"rule": "true", "reason": "Why"}, "[0].reason", ('Unsupported value: "Why": supported values: "FieldValueDuplicate", '
         '"FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"')),
    ],
)  # fmt: skip
def test_form(rule: dict[str, Any], where: str, message: str) -> None:
    names = {"type": "object", "additionalProperties": {"type": "string"}}
    assert told({"type": "object", "properties": {"b": {"type": "integer"}, "m": names}}, rule) == [(where, message)]


@pytest.mark.parametrize("path", [".b", ".m['x y']", "['m']['x']", ".m.x"])
def test_good_field_paths(path: str) -> None:
    names = {"type": "object", "additionalProperties": {"type": "string"}}
    props = {"type": "object", "properties": {"b": {"type": "integer"}, "m": names}}
    assert told(props, {"rule": "true", "fieldPath": path}) == []


def test_the_rule_is_shown_as_the_reference_shows_it() -> None:
    [(where, message)] = told(
        {"type": "integer"}, {"rule": "self < 'x' && true", "message": "m", "reason": "FieldValueInvalid"}
    )
    assert where == "[0].rule"
    assert message.startswith(
        'Invalid value: {"Rule":"self \\u003c \'x\' \\u0026\\u0026 true","Message":"m","MessageExpression":"",'
        '"Reason":"FieldValueInvalid","FieldPath":"","OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:6: '
    )


def test_message_expressions_are_compiled() -> None:
    [(where, message)] = told({"type": "integer"}, {"rule": "true", "messageExpression": "self.x"})
    assert where == "[0].messageExpression"
    assert (
        "messageExpression compilation failed: ERROR: <input>:1:5: type 'int' does not support field selection"
        in message
    )


def test_old_self_needs_a_place_with_an_identity() -> None:
    rule = {"rule": "self == oldSelf"}
    item = {"type": "integer", "x-kubernetes-validations": [rule]}
    [(where, message)] = told({"type": "array", "maxItems": 3, "items": item})
    assert where.endswith("properties[a].items.x-kubernetes-validations[0].rule")
    assert message == (
        'Invalid value: "self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within '
        "spec.validation.openAPIV3Schema.properties[a]"
    )
    assert told({"type": "integer"}, rule) == []
    [(where, message)] = told({"type": "integer"}, {"rule": "self > 0", "optionalOldSelf": True})
    assert (where, message) == (
        "[0].optionalOldSelf",
        "Invalid value: true: may not be set if oldSelf is not used in rule",
    )


def test_costs_follow_the_limits_of_the_schema() -> None:
    rule = {"rule": "self.all(x, self.all(y, x == y))"}
    text = {"type": "string", "maxLength": 10}
    assert told({"type": "array", "items": text, "maxItems": 100}, rule) == []
    (where, message) = told({"type": "array", "items": text, "maxItems": 10_000}, rule)[0]
    assert where == "[0].rule"
    assert message.startswith("Forbidden: estimated rule cost exceeds budget by factor of ")
    assert message.endswith(f"x {DEAR}")
    assert "more than 100x" in told({"type": "array", "items": text}, rule)[0][1]


def test_a_rule_costs_as_often_as_its_place_may_occur() -> None:
    inner = {"type": "string", "maxLength": 1000, "x-kubernetes-validations": [{"rule": "self.contains('abc')"}]}
    assert told({"type": "array", "items": inner, "maxItems": 1000}) == []
    assert told({"type": "array", "items": inner}) != []
    nested = {
        "type": "array",
        "maxItems": 1000,
        "items": {"type": "object", "maxProperties": 1000, "additionalProperties": inner},
    }
    assert len(told(nested)) == 3  # the rule, its part in the total, the total


def test_what_is_only_preserved_is_not_seen() -> None:
    anything = {"x-kubernetes-preserve-unknown-fields": True}
    [(_, message)] = told({"type": "object", "properties": {"b": anything}}, {"rule": "has(self.b)"})
    assert "undefined field 'b'" in message
    [(_, message)] = told({"type": "object"} | anything, {"rule": "self.whatever == 1"})
    assert "undefined field 'whatever'" in message
    [(where, message)] = told(anything, {"rule": "true"})
    assert (where, message.split(": ")[-1]) == ("[0].rule", "rules are not supported where the schema says no type")


def test_defaults_keep_the_rules() -> None:
    small = {"type": "integer", "default": 0, "x-kubernetes-validations": [{"rule": "self > 0"}]}
    found = told({"type": "object", "default": {}, "properties": {"b": small | {"default": 1}, "c": small}})
    at = f"{AT}.properties[a]"
    assert [where for where, _ in found] == [f"{at}.default.c", f"{at}.properties[c].default"]
    assert {message for _, message in found} == {'Invalid value: "integer": failed rule: self > 0'}
