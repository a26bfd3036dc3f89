"""Pruning and defaulting, for any schema and any value: each once is enough, and what passed stays valid."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.apiserver.drafts import draft
from wherry.apiserver.extensions import schema_rules
from wherry.apiserver.extensions.defaulting import default
from wherry.apiserver.extensions.pruning import prune
from wherry.apiserver.extensions.structural import Node
from wherry.apiserver.extensions.values import validate

NAMES = st.sampled_from(["a", "b", "c", "metadata", "kind"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(["", "x", "yy"]))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
LEAVES = st.one_of(
    st.builds(lambda n: {"type": "integer"} | n, st.sampled_from([{}, {"default": 3}, {"nullable": True}])),
    st.builds(lambda n: {"type": "string"} | n, st.sampled_from([{}, {"default": "d"}, {"maxLength": 1}])),
    st.just({"x-kubernetes-preserve-unknown-fields": True}),
)


def _objects(inner: Any) -> Any:
    fields = st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    more = st.sampled_from([{}, {"default": {}}, {"nullable": True}, {"x-kubernetes-preserve-unknown-fields": True}])
    return st.one_of(
        st.builds(lambda f, m: {"type": "object", "properties": f} | m, fields, more),
        st.builds(lambda each: {"type": "array", "items": each}, inner),
        st.builds(lambda each: {"type": "object", "additionalProperties": each}, inner),
    )


SCHEMAS = st.builds(
    lambda spec: {"type": "object", "properties": {"spec": spec}}, st.recursive(LEAVES, _objects, max_leaves=8)
)


@given(SCHEMAS, VALUES)
def test_once_is_enough(schema: dict[str, Any], value: Any) -> None:
    root = Node(schema)
    obj = {"apiVersion": "v", "kind": "K", "metadata": {"x": 1}, "spec": value}
    prune(obj, root)
    pruned = draft(obj)
    assert prune(obj, root) == []
    assert obj == pruned
    default(obj, root)
    defaulted = draft(obj)
    default(obj, root)
    assert obj == defaulted
    assert prune(obj, root) == []  # defaults are known to the schema
    assert obj["metadata"] == {"x": 1}


@given(SCHEMAS, VALUES)
def test_a_stored_object_is_taken_back(schema: dict[str, Any], value: Any) -> None:
    """Whatever a create accepts, an update with the very same accepts, and the schema itself is accepted."""
    assert [cause for cause in schema_rules.schema(schema, "schema") if ".default" not in cause.field] == []
    root = Node(schema)
    obj = {"spec": value}
    prune(obj, root)
    default(obj, root)
    causes = validate(obj, root)
    assert validate(draft(obj), root, obj) == []
    if not causes:
        again = draft(obj)
        prune(again, root)
        default(again, root)
        assert again == obj


def test_nulls_where_none_is_allowed_count_as_absent() -> None:
    """The example of Kubernetes' "Defaulting and Nullable"."""
    fields = {
        "foo": {"type": "string", "nullable": False, "default": "default"},
        "bar": {"type": "string", "nullable": True},
        "baz": {"type": "string"},
    }
    obj: dict[str, Any] = {"spec": {"foo": None, "bar": None, "baz": None}}
    default(obj, Node({"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}))
    assert obj == {"spec": {"foo": "default", "bar": None}}


@pytest.mark.parametrize(
    ("props", "value", "left", "unknown"),
    [
        ({"type": "object"}, {"a": 1}, {}, ["spec.a"]),
        ({"type": "object", "additionalProperties": True}, {"a": 1}, {"a": 1}, []),
        ({"type": "object", "additionalProperties": {"type": "object"}}, {"a": {"b": 1}}, {"a": {}}, ["spec.a.b"]),
        ({"type": "array", "items": {"type": "object"}}, [{}, {"b": 1}], [{}, {}], ["spec[1].b"]),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {"type": "object"}}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"any": 1}, "spec": {"x": 1}, "status": {}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"any": 1}, "spec": {}},
            ["spec.spec.x", "spec.status"],
        ),
        (
            {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": True,
                "properties": {"known": {"type": "object"}},
            },
            {"free": {"x": 1}, "known": {"x": 1}},
            {"free": {"x": 1}, "known": {}},
            ["spec.known.x"],
        ),
    ],
)
def test_what_is_unknown(props: dict[str, Any], value: Any, left: Any, unknown: list[str]) -> None:
    obj = {"spec": value}
    assert prune(obj, Node({"type": "object", "properties": {"spec": props}})) == unknown
    assert obj == {"spec": left}
