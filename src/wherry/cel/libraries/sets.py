"""`sets.contains`, `sets.equivalent`, `sets.intersects`: lists taken as sets. Source: cel-go's sets extension."""

from __future__ import annotations

from typing import Final

from wherry.cel.functions import Library, Overload, function
from wherry.cel.libraries.formatting import weight
from wherry.cel.types import BOOL, A, list_of
from wherry.cel.values import Value, equals

_PAIR: Final = (list_of(A), list_of(A))


def _charge(a: list[Value], b: list[Value]) -> int:
    """Each with each, all they hold."""
    return weight(a) * len(b) + weight(b) * len(a)


def _contains(a: list[Value], b: list[Value]) -> bool:
    return all(any(equals(x, y) for x in a) for y in b)


def _intersects(a: list[Value], b: list[Value]) -> bool:
    return any(equals(x, y) for x in a for y in b)


SETS: Final = Library(
    "sets",
    (
        function("sets.contains", Overload(_PAIR, BOOL, _contains, _charge)),
        function("sets.intersects", Overload(_PAIR, BOOL, _intersects, _charge)),
        function(
            "sets.equivalent",
            Overload(_PAIR, BOOL, lambda a, b: _contains(a, b) and _contains(b, a), lambda a, b: 2 * _charge(a, b)),
        ),
    ),
)
