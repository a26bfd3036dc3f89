"""Estimates of costs: figures that cel-go's documentation of its estimator gives, and how limits of a schema count."""

from __future__ import annotations

from typing import Any

import pytest

from wherry import cel
from wherry.cel.costs import UNLIMITED, estimate
from wherry.cel.schema_types import escaped, shape
from wherry.cel.types import Type


def sized(kind: str, size: int) -> Type:
    return Type(kind, max_size=size)


def cost(text: str, **variables: Type) -> int:
    return estimate(cel.compile(text, cel.Environment(variables)).tree)


@pytest.mark.parametrize(
    ("text", "kind", "wanted"),
    [
        ("'Hello World!'", cel.DYN, 0),
        ("input", cel.INT, 1),
        ("input['key']", cel.map_of(cel.STRING, cel.STRING), 2),
        ("input.key", cel.map_of(cel.STRING, cel.STRING), 2),
        ("has(input.key)", cel.map_of(cel.STRING, cel.STRING), 1),
        ("[1, 2]", cel.DYN, 10),
        ("{'a': 1}", cel.DYN, 30),
        ("input.all(x, true)", cel.list_of(cel.INT, 100), 302),
        ("input.all(x, x.all(y, true))", cel.list_of(cel.list_of(cel.INT, 10), 50), 1752),
        ("input.matches('[0-9]a[0-9]')", sized("string", 500), 1 + 51 * 3),
        ("input.startsWith('abcdefghijk')", sized("string", 500), 3),
        ("input.contains('abcdefghijk')", sized("string", 500), 1 + 50 * 2),
        ("string(input)", sized("bytes", 500), 51),
        ("bytes(input)", sized("string", 500), 51),
        ("input + input == input", sized("string", 100), 1 + 1 + 20 + 1 + 10),
        ("true || false", cel.DYN, 0),
        ("input > 1 ? input + 1 : input", cel.INT, 2 + 2),
        ("1 in input", cel.list_of(cel.INT, 70), 71),
        ("input.filter(x, x > 1).all(y, true)", cel.list_of(cel.INT, 10), (1 + 10 + 10 * (13 + 2) + 1) + 10 * 3 + 1),
        ("input.map(x, x + x).exists(s, s == 'a')", cel.list_of(sized("string", 10), 10),
         (1 + 10 + 10 * (12 + 4) + 1) + 10 * 6 + 1),
    ],
)  # fmt: skip
def test_estimates(text: str, kind: Type, wanted: int) -> None:
    assert cost(text, input=kind) == wanted


def test_without_limits_there_is_none() -> None:
    assert cost("l.all(x, l.all(y, x == y))", l=cel.list_of(cel.STRING)) == UNLIMITED


@pytest.mark.parametrize(
    ("schema", "size", "least"),
    [
        ({"type": "string"}, 3 * 1024 * 1024 - 2, 2),
        ({"type": "string", "maxLength": 7}, 7, 2),
        ({"type": "string", "enum": ["a", "abc"]}, 3, 2),
        ({"type": "array", "items": {"type": "integer"}}, (3 * 1024 * 1024 - 2) // 2, 2),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 4}, 4, 2),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, (3 * 1024 * 1024 - 2) // 10, 2),
        ({"type": "object", "required": ["ab"], "properties": {"ab": {"type": "string"}}}, None, 2 + 2 + 4 + 2),
    ],
)
def test_sizes_from_a_schema(schema: dict[str, Any], size: int | None, least: int) -> None:
    found = shape(schema)
    assert found is not None
    assert (found.type.max_size, found.size) == (size, least)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("plain", "plain"),
        ("namespace", "__namespace__"),
        ("a__b", "a__underscores__b"),
        ("x-y.z/w", "x__dash__y__dot__z__slash__w"),
        ("$ref", None),
        ("1st", None),
        ("", None),
    ],
)
def test_names_of_properties(name: str, wanted: str | None) -> None:
    assert escaped(name) == wanted
