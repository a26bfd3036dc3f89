"""Arithmetic and order. Integers overflow into errors instead of growing; doubles are IEEE 754; types never mix, except when
numbers are compared. Source: cel-spec (doc/langdef.md, "Numeric values", "Overflow").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from wherry.cel.errors import Failure, no_overload
from wherry.cel.times import Duration, Timestamp
from wherry.cel.values import (
    INT_MAX,
    INT_MIN,
    LISTS,
    NUMBERS,
    UINT_MAX,
    MapList,
    SetList,
    Uint,
    Value,
    equals,
    lookup_key,
)


def fit(value: int) -> int:
    """The value, when an int64 holds it."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise Failure("integer overflow")


def fit_uint(value: int) -> Uint:
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise Failure("unsigned integer overflow")


def add(a: Value, b: Value) -> Value:
    (kind, other) = (type(a), type(b))
    if kind is other:
        if kind is int:
            return fit(a + b)
        if kind is str or kind is float or kind is bytes:
            return a + b
        if kind is Uint:
            return fit_uint(int(a) + int(b))
        if kind is Duration:
            return Duration(a.nanos + b.nanos)
    if kind in LISTS and other in LISTS:
        return _joined(a, b)
    if (kind is Timestamp and other is Duration) or (kind is Duration and other is Timestamp):
        return Timestamp(a.nanos + b.nanos)
    raise no_overload()


def _joined(a: list[Value], b: list[Value]) -> list[Value]:
    if type(a) is SetList:
        return SetList([*a, *(each for each in b if not any(equals(each, known) for known in a))])
    if type(a) is MapList:
        fresh = {a.key(each): each for each in b}
        kept = [fresh.pop(a.key(each), each) for each in a]
        return MapList([*kept, *fresh.values()], a.keys)
    return [*a, *b]


def subtract(a: Value, b: Value) -> Value:
    (kind, other) = (type(a), type(b))
    if kind is other:
        if kind is int:
            return fit(a - b)
        if kind is float:
            return a - b
        if kind is Uint:
            return fit_uint(int(a) - int(b))
        if kind is Duration or kind is Timestamp:
            return Duration(a.nanos - b.nanos)
    if kind is Timestamp and other is Duration:
        return Timestamp(a.nanos - b.nanos)
    raise no_overload()


def multiply(a: Value, b: Value) -> Value:
    kind = type(a)
    if kind is type(b):
        if kind is int:
            return fit(a * b)
        if kind is float:
            return a * b
        if kind is Uint:
            return fit_uint(int(a) * int(b))
    raise no_overload()


def divide(a: Value, b: Value) -> Value:
    """Integers towards zero."""
    kind = type(a)
    if kind is not type(b) or kind not in NUMBERS:
        raise no_overload()
    if kind is float:
        if b == 0.0:
            return math.nan if a == 0.0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)
        return a / b
    if b == 0:
        raise Failure("division by zero")
    if kind is Uint:
        return Uint(int(a) // int(b))
    return fit(abs(a) // abs(b) if (a < 0) == (b < 0) else -(abs(a) // abs(b)))


def modulo(a: Value, b: Value) -> Value:
    """What is left has the sign of the dividend."""
    kind = type(a)
    if kind is not type(b) or (kind is not int and kind is not Uint):
        raise no_overload()
    if b == 0:
        raise Failure("modulus by zero")
    if kind is Uint:
        return Uint(int(a) % int(b))
    if a == INT_MIN and b == -1:
        raise Failure("integer overflow")
    return abs(a) % abs(b) if a >= 0 else -(abs(a) % abs(b))


def negate(a: Value) -> Value:
    if type(a) is int:
        return fit(-a)
    if type(a) is float:
        return -a
    raise no_overload()


_ORDERED: Final = frozenset((str, bytes, bool))
_MOMENTS: Final = frozenset((Timestamp, Duration))


def comparison(decide: Callable[[Any, Any], bool]) -> Callable[[Value, Value], bool]:
    """`<` and its like over whatever has an order: numbers across types, else values of one type."""

    def compare(a: Value, b: Value) -> bool:
        (kind, other) = (type(a), type(b))
        if kind is other and kind in _ORDERED:
            return decide(a, b)
        if kind in NUMBERS and other in NUMBERS:
            return decide(a, b)
        if kind is other and kind in _MOMENTS:
            return decide(a.nanos, b.nanos)
        raise no_overload()

    return compare


def contains(container: Value, element: Value, charge: Callable[[int], None]) -> bool:
    """`element in container`; searching a list costs as much as the list is long."""
    if type(container) is dict:
        kind = type(element)
        if kind is str:
            return element in container
        try:
            return lookup_key(element) in container
        except Failure:
            return False
    if type(container) in LISTS:
        charge(len(container))
        return any(equals(element, each, charge) for each in container)
    raise no_overload()
