"""Types made from schemas, and values made to fit them.

A structural schema (of a CustomResourceDefinition) gives each property a type under its escaped name, so that an unknown field is
a mistake found when the rule is written. Values are used as JSON has them, except where the schema says more than JSON can:
dates, durations, bytes, `number`, lists that are sets or maps. Only schemas with such places have a converter, and it copies only
along the way to them. Source: the documents "Extend the Kubernetes API with CustomResourceDefinitions" (type mapping, escaping).
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from wherry.cel.errors import Failure
from wherry.cel.times import parse_date, parse_duration, parse_timestamp
from wherry.cel.types import (
    BOOL,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Field,
    ObjectType,
    Type,
    list_of,
    map_of,
)
from wherry.cel.values import MapList, SetList, Value

Node: TypeAlias = Mapping[str, Any]
Convert: TypeAlias = Callable[[Value], Value]

REQUEST_MAX: Final = 3 * 1024 * 1024
"""Bytes of the largest request Kubernetes assumes where a schema sets no limit."""
_ESCAPES: Final = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_KEYWORDS: Final = frozenset(
    (
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"),
        *("let", "loop", "package", "namespace", "return", "var", "void", "while"),
    )
)
_IDENTIFIER: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_META: Final[Node] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}},
}


class Shape(NamedTuple):
    """What a schema means to CEL: the type, the least bytes a value takes in JSON, and how to make values fit, if they must."""

    type: Type
    size: int
    convert: Convert | None = None


def _sized(kind: Type, limit: int) -> Type:
    return Type(kind.kind, kind.name, kind.parameters, limit)


def escaped(name: str) -> str | None:
    """The name in expressions; None for a property no expression can name."""
    if name in _KEYWORDS:
        return f"__{name}__"
    found = "".join(_part(part) for part in re.split(r"(__|[./-])", name))
    return found if _IDENTIFIER.fullmatch(found) else None


def _part(part: str) -> str:
    return next((word for text, word in _ESCAPES if text == part), part)


def shape(node: Node, root: bool = False, name: str = "self") -> Shape | None:
    """Of a structural schema; None for what CEL cannot see (no type, only preserved). `root` for a whole resource."""
    if node.get("x-kubernetes-int-or-string"):
        return Shape(DYN, 1)
    kind = node.get("type", "")
    if kind == "array":
        return _list(node, name)
    if kind == "object" or root or node.get("x-kubernetes-embedded-resource"):
        return _object(node, root or bool(node.get("x-kubernetes-embedded-resource")), name)
    if kind == "string":
        return _string(node)
    return _SCALARS.get(kind)


def _double(value: Value) -> Value:
    return float(value) if type(value) is int else value


_SCALARS: Final = {
    "boolean": Shape(_sized(BOOL, 0), 4),
    "integer": Shape(_sized(INT, 0), 1),
    "number": Shape(_sized(DOUBLE, 0), 1, _double),
}
"""Their size is nothing, as Kubernetes estimates it."""


def _base64(value: Value) -> Value:
    try:
        return b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Failure(f'byte formatted string is not valid base64: "{value[:80]}"') from None


def _reader(read: Callable[[str], Value]) -> Convert:
    return lambda value: read(value) if isinstance(value, str) else value


def _string(node: Node) -> Shape:
    limit = _limit(node, "maxLength")
    form = node.get("format", "")
    if form == "byte":
        return Shape(Type("bytes", max_size=REQUEST_MAX - 2 if limit is None else limit), 2, _reader(_base64))
    if form == "date":
        return Shape(_sized(TIMESTAMP, 10), 12, _reader(parse_date))
    if form == "date-time":
        return Shape(_sized(TIMESTAMP, 33), 22, _reader(parse_timestamp))
    if form == "duration":
        return Shape(_sized(DURATION, 32), 3, _reader(parse_duration))
    if limit is None:
        values = [value for value in node.get("enum") or () if isinstance(value, str)]
        limit = max(map(len, values)) if values else REQUEST_MAX - 2
    return Shape(_sized(STRING, limit), 2)


def _limit(node: Node, name: str) -> int | None:
    found = node.get(name)
    return max(int(found), 0) if isinstance(found, int | float) else None


def _list(node: Node, name: str) -> Shape | None:
    inner = shape(node.get("items") or {}, name=f"{name}.@idx")
    if inner is None:
        return None
    limit = _limit(node, "maxItems")
    kind = node.get("x-kubernetes-list-type")
    keys = tuple(node.get("x-kubernetes-list-map-keys") or ())
    of_type = list_of(inner.type, (REQUEST_MAX - 2) // (inner.size + 1) if limit is None else limit)
    return Shape(of_type, 2, _list_converter(kind, keys, inner.convert))


def _list_converter(kind: str | None, keys: tuple[str, ...], inner: Convert | None) -> Convert | None:
    if kind not in ("set", "map") and inner is None:
        return None

    def convert(value: Value) -> Value:
        if not isinstance(value, list):
            return value
        elements = value if inner is None else [each if each is None else inner(each) for each in value]
        if kind == "set":
            return SetList(elements)
        return MapList(elements, keys) if kind == "map" else elements

    return convert


def _object(node: Node, resource: bool, name: str) -> Shape | None:
    more = node.get("additionalProperties")
    if isinstance(more, dict):
        return _map(node, more, name)
    properties: dict[str, Any] = dict(node.get("properties") or {})
    if resource:
        properties |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _META}
    required = frozenset(node.get("required") or ())
    fields: dict[str, Field] = {}
    converters: dict[str, Convert] = {}
    size = 2
    for wire, child in properties.items():
        inner = shape(child, name=f"{name}.{wire}")
        if inner is None:
            continue
        if wire in required and "default" not in child:
            size += len(wire) + 4 + inner.size
        if inner.convert is not None:
            converters[wire] = inner.convert
        if (field := escaped(wire)) is not None:
            fields[field] = Field(inner.type, wire)
    return Shape(ObjectType(name, fields), size, _fields_converter(converters) if converters else None)


def _fields_converter(converters: Mapping[str, Convert]) -> Convert:
    def convert(value: Value) -> Value:
        if not isinstance(value, dict):
            return value
        made = {name: read(value[name]) for name, read in converters.items() if value.get(name) is not None}
        return {**value, **made}

    return convert


def _map(node: Node, more: Node, name: str) -> Shape | None:
    inner = shape(more, name=f"{name}.@elem")
    if inner is None:
        return None
    limit = _limit(node, "maxProperties")
    size = (REQUEST_MAX - 2) // (inner.size + 6) if limit is None else limit
    read = inner.convert

    def convert(value: Value) -> Value:
        if read is None or not isinstance(value, dict):
            return value
        return {key: each if each is None else read(each) for key, each in value.items()}

    return Shape(map_of(_sized(STRING, REQUEST_MAX - 2), inner.type, size), 2, convert if read is not None else None)
