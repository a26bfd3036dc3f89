"""Reading fields, keys and indexes: the closures for `a.b`, `a.?b`, `has(a.b)`, `a[i]`, `a[?i]`.

On an optional each of them reads what it holds and gives an optional. A missing key is an error, except where it was asked for
with `?` or `has`.
"""

from __future__ import annotations

from wherry.cel.errors import Failure, no_overload
from wherry.cel.frame import Frame, Run
from wherry.cel.values import LISTS, NONE, Optional, Record, Value, lookup_key, type_name


def select(operand: Run, field: str) -> Run:
    def run(frame: Frame) -> Value:
        value = operand(frame)
        if type(value) is dict:
            try:
                return value[field]
            except KeyError:
                raise Failure(f"no such key: {field}") from None
        return _slow(value, field)

    return run


def select_slot(slot: int, field: str) -> Run:
    """The same of a variable known to be given."""

    def run(frame: Frame) -> Value:
        value = frame[slot]
        if type(value) is dict:
            try:
                return value[field]
            except KeyError:
                raise Failure(f"no such key: {field}") from None
        return _slow(value, field)

    return run


def _slow(value: Value, field: str) -> Value:
    if type(value) is Optional:
        return select_optional(value, field)
    if isinstance(value, Record):
        return value.select(field)
    raise no_overload()


def select_optional(value: Value, field: str) -> Optional:
    if type(value) is Optional:
        if value is NONE:
            return NONE
        value = value.value
    return Optional(_read(value, field)) if has(value, field) else NONE


def _read(value: Value, field: str) -> Value:
    return value[field] if type(value) is dict else value.select(field)


def has(value: Value, field: str) -> bool:
    """Whether the field is there; Failure when the value can have none."""
    if type(value) is dict:
        return field in value
    if type(value) is Optional:
        return value is not NONE and has(value.value, field)
    if isinstance(value, Record):
        return value.has(field)
    raise no_overload()


def index(container: Value, key: Value) -> Value:
    """`container[key]`."""
    kind = type(container)
    if kind is dict:
        try:
            return container[key] if type(key) is str else container[lookup_key(key)]
        except KeyError:
            raise Failure(f"no such key: {_shown(key)}") from None
    if kind in LISTS:
        position = _position(key)
        if not 0 <= position < len(container):
            raise Failure(f"index out of bounds: {position}")
        return container[position]
    if kind is Optional:
        return index_optional(container, key)
    raise no_overload()


def index_optional(container: Value, key: Value) -> Optional:
    """`container[?key]`."""
    if type(container) is Optional:
        if container is NONE:
            return NONE
        container = container.value
    if type(container) is dict:
        found = lookup_key(key)
        return Optional(container[found]) if found in container else NONE
    if type(container) in LISTS:
        position = _position(key)
        return Optional(container[position]) if 0 <= position < len(container) else NONE
    raise no_overload()


def _position(key: Value) -> int:
    """An index may be of any type of number, as long as it is whole."""
    if type(key) is int:
        return key
    if isinstance(key, int) and type(key) is not bool:
        return int(key)
    if type(key) is float and key.is_integer():
        return int(key)
    raise Failure(f"unsupported index type '{type_name(key)}' in list")


def _shown(key: Value) -> str:
    return ("true" if key else "false") if type(key) is bool else str(key)
