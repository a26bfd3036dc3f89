from __future__ import annotations

from typing import Any

import pytest

from wherry.apiserver.extensions.structural import Node
from wherry.apiserver.extensions.structure_rules import duplicates, embedded
from wherry.apiserver.extensions.values import validate


def said(value: Any, props: dict[str, Any], old: Any = None) -> list[tuple[str, str, str]]:
    """(field, reason, message) of every cause; `value` is what spec.x holds."""
    root = Node({"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": props}}}})
    was = () if old is None else ({"spec": {"x": old}},)
    return [(each.field, each.reason, each.message) for each in validate({"spec": {"x": value}}, root, *was)]


INVALID, TYPE = "FieldValueInvalid", "FieldValueTypeInvalid"


@pytest.mark.parametrize(
    ("value", "props", "reason", "message"),
    [
        ("a", {"type": "integer"}, TYPE, 'Invalid value: "string": spec.x in body must be of type integer: "string"'),
        (None, {"type": "string"}, TYPE, 'Invalid value: "null": spec.x in body must be of type string: "null"'),
        (1.5, {"type": "integer"}, TYPE, 'Invalid value: "number": spec.x in body must be of type integer: "number"'),
        (True, {"type": "integer"}, TYPE, 'Invalid value: "boolean": spec.x in body must be of type integer: "boolean"'),
        ("c", {"type": "string", "enum": ["a", "b"]}, "FieldValueNotSupported",
         'Unsupported value: "c": supported values: "a", "b"'),
        ("x", {"type": "string", "pattern": "^a+$"}, INVALID, "Invalid value: \"x\": spec.x in body should match '^a+$'"),
        ("x", {"type": "string", "minLength": 3}, INVALID,
         'Invalid value: "x": spec.x in body should be at least 3 chars long'),
        ("xxxx", {"type": "string", "maxLength": 3}, "FieldValueTooLong", "Too long: may not be more than 3 bytes"),
        (3, {"type": "integer", "minimum": 3, "exclusiveMinimum": True}, INVALID,
         "Invalid value: 3: spec.x in body should be greater than 3"),
        (4, {"type": "number", "maximum": 3.5}, INVALID, "Invalid value: 4: spec.x in body should be less than or equal to 3.5"),
        (3, {"type": "integer", "maximum": 3, "exclusiveMaximum": True}, INVALID,
         "Invalid value: 3: spec.x in body should be less than 3"),
        (5, {"type": "integer", "multipleOf": 2}, INVALID, "Invalid value: 5: spec.x in body should be a multiple of 2"),
        ("x", {"type": "string", "format": "ipv4"}, TYPE, 'Invalid value: "x": spec.x in body must be of type ipv4: "x"'),
        ([1, 2], {"type": "array", "maxItems": 1}, "FieldValueTooMany", "Too many: 2: must have at most 1 items"),
        ([], {"type": "array", "minItems": 1}, INVALID, "Invalid value: 0: spec.x in body should have at least 1 items"),
        ({"a": 1, "b": 1}, {"type": "object", "maxProperties": 1}, "FieldValueTooMany",
         "Too many: 2: must have at most 1 items"),
        ({}, {"type": "object", "minProperties": 1}, INVALID,
         "Invalid value: 0: spec.x in body should have at least 1 properties"),
    ],
)  # fmt: skip
def test_every_rule_has_kubernetes_words(value: Any, props: dict[str, Any], reason: str, message: str) -> None:
    assert said(value, props) == [("spec.x", reason, message)]


@pytest.mark.parametrize(
    ("value", "props"),
    [
        (1, {"type": "number"}),
        (2.0, {"type": "integer"}),
        (None, {"type": "string", "nullable": True}),
        ("5%", {"x-kubernetes-int-or-string": True}),
        (5, {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
        ("b", {"type": "string", "oneOf": [{"pattern": "a"}, {"pattern": "b"}]}),
        (0.3, {"type": "number", "multipleOf": 0.1}),
        ({"odd": 1}, {"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        ("2026-01-01T10:00:00Z", {"type": "string", "format": "date-time"}),
        ("anything", {"type": "string", "format": "unheard-of"}),
    ],
)
def test_what_is_fine(value: Any, props: dict[str, Any]) -> None:
    assert said(value, props) == []


def test_paths_of_lists_and_maps_and_what_is_required() -> None:
    item = {"type": "object", "required": ["name"], "properties": {"port": {"type": "integer"}}}
    assert said([{"name": "a"}, {"port": "x"}], {"type": "array", "items": item}) == [
        ("spec.x[1].name", "FieldValueRequired", "Required value"),
        ("spec.x[1].port", TYPE, 'Invalid value: "string": spec.x[1].port in body must be of type integer: "string"'),
    ]
    assert said({"k": 1}, {"type": "object", "additionalProperties": {"type": "string"}}) == [
        ("spec.x.k", TYPE, 'Invalid value: "integer": spec.x.k in body must be of type string: "integer"')
    ]


def test_alternatives_are_told_without_a_path() -> None:
    assert said("c", {"type": "string", "oneOf": [{"pattern": "a"}, {"pattern": "b"}]})[0] == (
        "<nil>",
        INVALID,
        'Invalid value: "": "spec.x" must validate one and only one schema (oneOf). Found none valid',
    )
    both = said("ab", {"type": "string", "oneOf": [{"pattern": "a"}, {"pattern": "b"}]})
    assert [message.partition("(oneOf). ")[2] for _, _, message in both] == ["Found 2 valid alternatives"]
    assert said("c", {"type": "string", "anyOf": [{"pattern": "a"}]})[0][2].endswith("at least one schema (anyOf)")
    assert said("c", {"type": "string", "allOf": [{"pattern": "a"}]})[0][2].endswith("(allOf). None validated")
    assert said("a", {"type": "string", "not": {"pattern": "a"}})[0][2].endswith("must not validate the schema (not)")


def test_what_stays_is_not_judged_again() -> None:
    keyed = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["n"],
        "items": {"type": "object", "properties": {"n": {"type": "string"}, "v": {"type": "integer", "maximum": 3}}},
    }
    old = [{"n": "a", "v": 9}, {"n": "b", "v": 1}]
    assert said([{"n": "b", "v": 2}, {"n": "a", "v": 9}], keyed, old) == []
    assert [each[0] for each in said([{"n": "a", "v": 8}, {"n": "c", "v": 9}], keyed, old)] == [
        "spec.x[0].v",
        "spec.x[1].v",
    ]
    plain = {"type": "array", "items": {"type": "integer", "maximum": 3}}
    assert said([9, 9], plain, [9, 9]) == []
    assert [each[0] for each in said([9, 1], plain, [9, 9])] == ["spec.x[0]"]


def test_sets_maps_and_embedded_objects() -> None:
    fields = {
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "map": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["n", "p"],
            "items": {
                "type": "object",
                "properties": {"n": {"type": "string"}, "p": {"type": "string", "default": "TCP"}, "v": {}},
            },
        },
        "whole": {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {}},
    }
    root = Node({"type": "object", "properties": fields})
    obj = {"set": ["a", "b", "a"], "map": [{"n": "x"}, {"n": "x", "p": "UDP"}, {"n": "x", "p": "TCP", "v": 1}]}
    assert [(each.field, each.message) for each in duplicates(obj, root)] == [
        ("set[2]", 'Duplicate value: "a"'),
        ("map[2]", 'Duplicate value: {"n":"x","p":"TCP"}'),
    ]
    found = embedded({"whole": {"kind": "Pod", "metadata": {"labels": {"-": "x"}}}}, root)
    assert [(each.field, each.reason) for each in found] == [
        ("whole.apiVersion", "FieldValueRequired"),
        ("whole.metadata.labels", INVALID),
    ]


def test_embedded_metadata_has_types() -> None:
    root = Node({"type": "object", "properties": {"e": {"type": "object", "x-kubernetes-embedded-resource": True}}})
    head = {"apiVersion": "v1", "kind": "Pod"}
    for metadata, at in (
        (3, "e.metadata"),
        ({"name": 3}, "e.metadata.name"),
        ({"labels": {"a": 3}}, "e.metadata.labels"),
        ({"annotations": []}, ""),
        ({"annotations": [1]}, "e.metadata.annotations"),
    ):
        found = embedded({"e": {**head, "metadata": metadata}}, root)
        assert [each.field for each in found] == ([at] if at else [])
