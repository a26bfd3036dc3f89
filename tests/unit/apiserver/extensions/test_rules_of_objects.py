"""x-kubernetes-validations on objects: what is run, against which old value, what is said, what is forgiven."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from custom_api import DEFINITIONS, WIDGETS, definition, serving, version, widget

from wherry.aio.virtual import run_virtual
from wherry.apiserver.extensions.rules import rules
from wherry.apiserver.extensions.structural import Node

RULES = "x-kubernetes-validations"


def ruled(props: dict[str, Any], *written: Any) -> dict[str, Any]:
    return props | {RULES: [each if isinstance(each, dict) else {"rule": each} for each in written]}


def told(schema: dict[str, Any], obj: Any, old: Any = None) -> list[tuple[str, str]]:
    """(field, message) of each cause; the schema is that of `spec`, the objects are specs."""
    root = Node({"type": "object", "properties": {"spec": schema}})
    validator = rules(root)
    assert validator is not None
    name = {"metadata": {"name": "w"}}
    causes = validator.validate(name | {"spec": obj}, None if old is None else name | {"spec": old}, root)
    return [(cause.field, cause.message) for cause in causes]


INT = {"type": "integer"}
TEXT = {"type": "string", "maxLength": 100}


def test_a_schema_without_rules_has_no_validator() -> None:
    assert rules(Node({"type": "object", "properties": {"spec": INT}})) is None


def test_what_is_said() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": ruled(INT, "self > 0"),
            "b": ruled(INT, {"rule": "self > 0", "message": " must be positive "}),
            "c": ruled(
                TEXT, {"rule": "self != 'bad'", "messageExpression": "'not ' + self", "reason": "FieldValueForbidden"}
            ),
            "d": ruled(TEXT, {"rule": "false", "reason": "FieldValueDuplicate"}),
            "e": ruled(TEXT, {"rule": "false", "message": "give me", "reason": "FieldValueRequired"}),
            "f": ruled(TEXT, {"rule": "false", "message": "else", "messageExpression": "' '"}),
        },
    }
    assert told(schema, {"a": 0, "b": 0, "c": "bad", "d": "x", "e": "x", "f": "x"}) == [
        ("spec.a", 'Invalid value: "integer": failed rule: self > 0'),
        ("spec.b", 'Invalid value: "integer": must be positive'),
        ("spec.c", "Forbidden: not bad"),
        ("spec.d", 'Duplicate value: "string"'),
        ("spec.e", "Required value: give me"),
        ("spec.f", 'Invalid value: "string": else'),
    ]
    assert told(schema, {"a": 1, "b": 1, "c": "good"}) == []


def test_a_field_path_says_where() -> None:
    props = {"a": INT, "b": INT}
    schema = ruled(
        {"type": "object", "properties": props}, {"rule": "self.a <= self.b", "fieldPath": ".b", "message": "m"}
    )
    assert told(schema, {"a": 2, "b": 1}) == [("spec.b", 'Invalid value: "object": m')]


def test_rules_of_the_whole_resource_see_its_name() -> None:
    root = Node(
        ruled(
            {"type": "object"}, {"rule": "self.metadata.name != 'w'", "fieldPath": ".metadata.name"}, "self.kind == ''"
        )
    )
    validator = rules(root)
    assert validator is not None
    causes = validator.validate({"kind": "W", "metadata": {"name": "w"}}, None, root)
    assert [cause.field for cause in causes] == ["metadata.name", "<nil>"]


def test_transition_rules_need_something_to_compare_with() -> None:
    schema = {"type": "object", "properties": {"a": ruled(INT, {"rule": "self >= oldSelf", "message": "no shrinking"})}}
    assert told(schema, {"a": 1}) == []
    assert told(schema, {"a": 1}, {}) == []
    assert told(schema, {"a": 1}, {"a": 2}) == [("spec.a", 'Invalid value: "integer": no shrinking')]


def test_an_optional_old_self_is_asked_on_create_too() -> None:
    rule = {"rule": "oldSelf.hasValue() || self == 1", "optionalOldSelf": True, "message": "begin with 1"}
    schema = {"type": "object", "properties": {"a": ruled(INT, rule)}}
    assert told(schema, {"a": 2}) == [("spec.a", 'Invalid value: "integer": begin with 1')]
    assert told(schema, {"a": 2}, {"a": 1}) == []


def test_elements_of_a_map_list_are_compared_by_their_keys() -> None:
    element = ruled(
        {"type": "object", "properties": {"k": TEXT, "v": INT}}, {"rule": "self.v == oldSelf.v", "message": "fixed"}
    )
    schema = {
        "type": "array", "maxItems": 9, "items": element,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
    }  # fmt: skip
    old = [{"k": "a", "v": 1}, {"k": "b", "v": 2}]
    new = [{"k": "b", "v": 3}, {"k": "c", "v": 4}, {"k": "a", "v": 1}]
    assert told(schema, new, old) == [("spec[0]", 'Invalid value: "object": fixed')]


def test_values_of_a_map_are_compared_by_key_unless_it_is_atomic() -> None:
    schema = {"type": "object", "additionalProperties": ruled(INT, {"rule": "self == oldSelf", "message": "fixed"})}
    assert told(schema, {"x.y": 2}, {"x.y": 1}) == [("spec[x.y]", 'Invalid value: "integer": fixed')]
    assert told(schema | {"x-kubernetes-map-type": "atomic"}, {"a": 2}, {"a": 1}) == []


def test_what_did_not_change_is_forgiven() -> None:
    positive = ruled(INT, "self > 0")
    schema = ruled(
        {"type": "object", "properties": {"a": positive, "b": INT, "l": {"type": "array", "items": positive}}},
        "self.b > 0",
    )  # fmt: skip
    bad = {"a": 0, "b": 0, "l": [0, 1]}
    assert len(told(schema, bad)) == 3
    assert told(schema, bad, bad) == []
    assert [where for where, _ in told(schema, bad | {"b": -1}, bad)] == ["spec"]
    # Elements of a list without keys have no old value of their own: the list as a whole is what may stay.
    assert [where for where, _ in told(schema, bad | {"l": [0, 2]}, bad)] == ["spec", "spec.l[0]"]


@pytest.mark.parametrize(
    ("props", "value", "rule"),
    [
        ({"type": "string", "format": "date-time"}, "2024-01-01T00:00:00Z", "self > timestamp('2020-01-01T00:00:00Z')"),
        ({"type": "string", "format": "date"}, "2024-01-01", "self.getFullYear() == 2024"),
        ({"type": "string", "format": "duration"}, "1h", "self > duration('59m')"),
        ({"type": "string", "format": "byte"}, "aGk=", "self == b'hi'"),
        ({"type": "number"}, 3, "self / 2.0 == 1.5"),
        ({"x-kubernetes-int-or-string": True}, "50%", "type(self) == string ? self == '50%' : self == 50"),
        ({"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"}, ["b", "a"], "self == ['a', 'b']"),
        ({"type": "array", "items": {"type": "number"}}, [1, 2], "self.all(n, n >= 1.0)"),
        ({"type": "object", "additionalProperties": {"type": "string", "format": "duration"}}, {"a": "1s"},
         "self.a == duration('1s')"),
        ({"type": "object", "properties": {"for": INT, "a-b": INT, "c.d/e__f": INT}}, {"for": 1, "a-b": 2, "c.d/e__f": 3},
         "self.__for__ == 1 && self.a__dash__b == 2 && self.c__dot__d__slash__e__underscores__f == 3"),
        ({"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
         {"kind": "Pod", "metadata": {"name": "p"}}, "self.kind == 'Pod' && self.metadata.name == 'p'"),
        ({"type": "string", "nullable": True}, None, "false"),
    ],
)  # fmt: skip
def test_self_has_the_type_of_its_schema(props: dict[str, Any], value: Any, rule: str) -> None:
    assert told({"type": "object", "properties": {"a": ruled(props, rule)}}, {"a": value}) == []


def test_errors_while_running_refuse_the_object() -> None:
    schema = {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True}}
    assert told(ruled(schema, "self['a'] > 1"), {}) == [
        ("spec", "Invalid value: \"object\": no such key: a evaluating rule: self['a'] > 1")
    ]
    assert told(ruled(schema, "self.a > 1"), {"a": "x"})[0][1] == (
        "Invalid value: \"object\": 'no such overload': call arguments did not match a supported operator, function or macro "
        "signature for rule: self.a > 1"
    )


def test_the_budget_ends_a_rule_and_then_all_rules() -> None:
    numbers = {"type": "array", "items": INT}
    over = "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))"
    assert told(ruled(numbers, over, "false"), [1] * 200) == [
        (
            "spec",
            (
                "Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation rules will "
                f"be run due to call cost exceeds limit for rule: {over}"
            ),
        )
    ]
    many = {"type": "array", "items": ruled(numbers, "self.all(a, self.all(b, a == b))")}
    found = told(many, [[1] * 300] * 60)
    assert found[-1][1].endswith(
        "validation failed due to running out of cost budget, no further validation rules will be run"
    )
    assert len(found) == 1


def test_through_the_api() -> None:
    async def main() -> None:
        spec = ruled(
            {
                "type": "object",
                "properties": {"size": ruled(INT, {"rule": "self == oldSelf", "message": "size is fixed"})},
            },
            "self.size < 5",
        )
        async with serving(definition(version(schema={"type": "object", "properties": {"spec": spec}}))) as server:
            said = await server.ask("POST", WIDGETS, widget("a", spec={"size": 7}))
            assert said.status == 422
            assert said.body["message"] == (
                'Widget.example.com "a" is invalid: spec: Invalid value: "object": failed rule: self.size < 5'
            )
            assert (await server.ask("POST", WIDGETS, widget("a", spec={"size": 3}))).status == 201
            body = (await server.ask("GET", f"{WIDGETS}/a")).body
            said = await server.ask("PUT", f"{WIDGETS}/a", body | {"spec": {"size": 4}})
            assert [cause["message"] for cause in said.body["details"]["causes"]] == [
                'Invalid value: "integer": size is fixed'
            ]

    run_virtual(main())


def test_what_is_forgiven_is_told_as_a_warning() -> None:
    async def main() -> None:
        spec = {"type": "object", "properties": {"size": INT, "note": TEXT}}
        stricter = {"type": "object", "properties": {"size": ruled(INT, "self < 5"), "note": TEXT}}
        async with serving(definition(version(schema={"type": "object", "properties": {"spec": spec}}))) as server:
            assert (await server.ask("POST", WIDGETS, widget("a", spec={"size": 7}))).status == 201
            changed = definition(version(schema={"type": "object", "properties": {"spec": stricter}}))
            body = (await server.ask("GET", f"{DEFINITIONS}/widgets.example.com")).body
            said = await server.ask("PUT", f"{DEFINITIONS}/widgets.example.com", body | {"spec": changed["spec"]})
            assert said.status == 200, said.body
            await asyncio.sleep(1)
            body = (await server.ask("GET", f"{WIDGETS}/a")).body
            said = await server.ask("PUT", f"{WIDGETS}/a", body | {"spec": {"size": 7, "note": "kept"}})
            assert (said.status, said.warnings) == (200, ['spec.size: Invalid value: "integer": failed rule: self < 5'])
            assert (await server.ask("PUT", f"{WIDGETS}/a", said.body | {"spec": {"size": 8}})).status == 422

    run_virtual(main())
