"""Is a value as the schema wants it? Every cause, in the words of Kubernetes' OpenAPI validator.

A value that an update leaves as it was is not looked at again ("ratcheting"): a schema may become stricter without making
objects unwritable. Elements of lists are the same element only where the list is a map with keys.
Source: OpenAPI 3 validation as documented for CustomResourceDefinitions; texts as recorded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.extensions.formats import FORMATS
from wherry.apiserver.extensions.patterns import PatternError, compile_pattern
from wherry.apiserver.extensions.structural import Node
from wherry.apiserver.registry.validation import field

_MISSING: Final = object()
NOWHERE: Final = "<nil>"
"""The field of causes that belong to no path, as Kubernetes writes it."""
CAUSES_MAX: Final = 1000
"""Enough for anybody; an object of a million wrong items must not become an answer of as many."""


def validate(obj: Any, root: Node, old: Any = _MISSING, path: str = "") -> list[Cause]:
    """All causes; `old` is what is stored, if this is an update."""
    walk = _Walk()
    walk.value(obj, root, path, old)
    return walk.causes


class _Walk:
    def __init__(self) -> None:
        self.causes: list[Cause] = []

    def _invalid(self, path: str, value: Any, problem: str) -> None:
        self._add(field.invalid(path, value, f"{path} in body {problem}"))

    def _add(self, cause: Cause) -> None:
        if len(self.causes) < CAUSES_MAX:
            self.causes.append(cause)

    def value(self, value: Any, node: Node, path: str, old: Any = _MISSING) -> None:
        if old is not _MISSING and _same(value, old):
            return
        if value is None:
            if not node.nullable:
                self._type(value, node, path)
                self._enum(value, node.props, path)
            return
        self._type(value, node, path)
        self._junctors(value, node, path)
        self._plain(value, node.props, path)
        if isinstance(value, list):
            self._list(value, node, path, old)
        self._enum(value, node.props, path)
        if isinstance(value, dict):
            self._object(value, node, path, old)

    def _type(self, value: Any, node: Node, path: str) -> None:
        actual = type_of(value)
        wanted = node.type
        if node.int_or_string:
            if not wanted and actual not in ("integer", "string"):
                message = f'{path} in body must be of type integer,string: "{actual}"'
                self._add(type_invalid(path, actual, message))
            return
        if not wanted or wanted == actual:
            return
        if wanted == "number" and actual == "integer":
            return
        self._add(type_invalid(path, actual, f'{path} in body must be of type {wanted}: "{actual}"'))

    def _plain(self, value: Any, props: Obj, path: str) -> None:
        """Rules of strings and of numbers."""
        if isinstance(value, str):
            self._string(value, props, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            self._number(value, props, path)

    def _string(self, value: str, props: Obj, path: str) -> None:
        longest, shortest = props.get("maxLength"), props.get("minLength")
        if longest is not None and len(value) > longest:
            self._add(field.too_long(path, longest))
        if shortest is not None and len(value) < shortest:
            self._invalid(path, value, f"should be at least {shortest} chars long")
        pattern = props.get("pattern")
        if pattern:
            try:
                if not compile_pattern(pattern).occurs_in(value):
                    self._invalid(path, value, f"should match '{pattern}'")
            except PatternError as error:
                self._invalid(path, value, f"should match '{pattern}', but pattern is invalid: {error}")
        name = (props.get("format") or "").replace("-", "") if props.get("format") != "date-time" else "date-time"
        check = FORMATS.get(name)
        if check is not None and not check(value):
            message = f"{path} in body must be of type {props['format']}: {field.quote(value)}"
            self._add(type_invalid(path, value, message))

    def _number(self, value: float, props: Obj, path: str) -> None:
        step, most, least = props.get("multipleOf"), props.get("maximum"), props.get("minimum")
        if step and not math.isclose(value / step, round(value / step), rel_tol=1e-12):
            self._invalid(path, value, f"should be a multiple of {number_text(step)}")
        if most is not None:
            if props.get("exclusiveMaximum") and value >= most:
                self._invalid(path, value, f"should be less than {number_text(most)}")
            elif value > most:
                self._invalid(path, value, f"should be less than or equal to {number_text(most)}")
        if least is not None:
            if props.get("exclusiveMinimum") and value <= least:
                self._invalid(path, value, f"should be greater than {number_text(least)}")
            elif value < least:
                self._invalid(path, value, f"should be greater than or equal to {number_text(least)}")

    def _enum(self, value: Any, props: Obj, path: str) -> None:
        allowed = props.get("enum")
        if allowed and not any(_same(value, each) for each in allowed):
            self._add(
                field.not_supported(
                    path, value, [each if isinstance(each, str) else field.show(each) for each in allowed]
                )
            )

    def _list(self, value: list[Any], node: Node, path: str, old: Any) -> None:
        most, fewest = node.props.get("maxItems"), node.props.get("minItems")
        if most is not None and len(value) > most:
            self._add(field.too_many(path, len(value), most))
        if fewest is not None and len(value) < fewest:
            self._invalid(path, len(value), f"should have at least {fewest} items")
        items = node.items
        if items is None:
            return
        before = _by_keys(old, node) if node.list_type == "map" and isinstance(old, list) else {}
        for index, item in enumerate(value):
            self.value(
                item, items, f"{path}[{index}]", before.get(key_of(item, node), _MISSING) if before else _MISSING
            )

    def _object(self, value: Obj, node: Node, path: str, old: Any) -> None:
        props = node.props
        most, fewest = props.get("maxProperties"), props.get("minProperties")
        if most is not None and len(value) > most:
            self._add(field.too_many(path, len(value), most))
        if fewest is not None and len(value) < fewest:
            self._invalid(path, len(value), f"should have at least {fewest} properties")
        for name in props.get("required") or ():
            if name not in value:
                self._add(field.required(_join(path, name)))
        before = old if isinstance(old, dict) else {}
        fields, values = node.fields, node.values
        for name, child in value.items():
            below = fields.get(name) or values
            if below is not None:
                self.value(child, below, _join(path, name), before.get(name, _MISSING))

    # -- allOf, anyOf, oneOf, not

    def _junctors(self, value: Any, node: Node, path: str) -> None:
        if node.any_of:
            self._any_of([validate(value, part, path=path) for part in node.any_of], path)
        if node.one_of:
            self._one_of([validate(value, part, path=path) for part in node.one_of], path)
        if node.all_of:
            self._all_of([validate(value, part, path=path) for part in node.all_of], path)
        if node.negated is not None and not validate(value, node.negated, path=path):
            self._whole(path, "must not validate the schema (not)")

    def _any_of(self, results: list[list[Cause]], path: str) -> None:
        if all(results):
            self._whole(path, "must validate at least one schema (anyOf)")
            self.causes += _shortest(results)

    def _one_of(self, results: list[list[Cause]], path: str) -> None:
        valid = sum(1 for each in results if not each)
        if valid == 1:
            return
        found = f"Found {valid} valid alternatives" if valid else "Found none valid"
        self._whole(path, f"must validate one and only one schema (oneOf). {found}")
        if not valid:
            self.causes += _shortest(results)

    def _all_of(self, results: list[list[Cause]], path: str) -> None:
        if any(results):
            self._whole(path, f"must validate all the schemas (allOf){'. None validated' if all(results) else ''}")
            for each in results:
                self.causes += each

    def _whole(self, path: str, problem: str) -> None:
        self._add(field.invalid(NOWHERE, "", f'"{path}" {problem}'))


def _shortest(results: list[list[Cause]]) -> list[Cause]:
    """The causes of the alternative that came closest."""
    return min(results, key=lambda causes: len(causes))


def type_invalid(path: str, value: Any, message: str) -> Cause:
    return Cause("FieldValueTypeInvalid", f"Invalid value: {field.show(value)}: {message}", path)


def type_of(value: Any) -> str:
    """The JSON type's name in a schema; a whole number is an integer however it is written."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case list():
            return "array"
        case _:
            return "object"


def number_text(value: float) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else str(value)


def key_of(item: Any, node: Node) -> tuple[Any, ...] | None:
    """What makes an element of a list of type map itself: the values of its keys, or their defaults."""
    if not isinstance(item, dict) or node.items is None:
        return None
    fields = node.items.fields
    found = []
    for key in node.keys:
        value = item.get(key)
        if value is None and key in fields and fields[key].has_default:
            value = fields[key].default
        found.append(repr(value) if isinstance(value, dict | list) else (type(value) is bool, value))
    return tuple(found)


def _by_keys(old: list[Any], node: Node) -> Mapping[tuple[Any, ...] | None, Any]:
    return {key_of(item, node): item for item in old if isinstance(item, dict)}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return (type(one) is type(other) and bool(one == other)) or _numbers(one, other)


def _numbers(one: Any, other: Any) -> bool:
    return isinstance(one, int | float) and isinstance(other, int | float) and one == other
