"""`isSorted`, `sum`, `min`, `max`, `indexOf`, `lastIndexOf` of lists. Source: Kubernetes' list library."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from wherry.cel import arithmetic as num
from wherry.cel.errors import Failure
from wherry.cel.functions import Library, Overload, method
from wherry.cel.libraries.formatting import weight
from wherry.cel.times import Duration
from wherry.cel.types import BOOL, BYTES, DOUBLE, DURATION, INT, STRING, TIMESTAMP, UINT, A, list_of
from wherry.cel.values import Uint, Value, equals

_less: Final = num.comparison(lambda a, b: bool(a < b))
_ORDERED: Final = (INT, UINT, DOUBLE, BOOL, DURATION, TIMESTAMP, STRING, BYTES)
_SUMMED: Final = (INT, UINT, DOUBLE, DURATION)


def charge(elements: list[Value], *_: Value) -> int:
    """One for each element, and a tenth for each character."""
    return len(elements) + sum(len(each) for each in elements if isinstance(each, str | bytes)) // 10


def _is_sorted(elements: list[Value]) -> bool:
    return all(not _less(b, a) for a, b in pairwise(elements))


def _sum(zero: Value) -> Callable[[list[Value]], Value]:
    def run(elements: list[Value]) -> Value:
        total = None
        for each in elements:
            total = each if total is None else num.add(total, each)
        return zero if total is None else total

    return run


def _extreme(name: str, better: Callable[[Value, Value], bool]) -> Callable[[list[Value]], Value]:
    def run(elements: list[Value]) -> Value:
        if not elements:
            raise Failure(f"{name} called on empty list")
        best = elements[0]
        for each in elements[1:]:
            best = each if better(each, best) else best
        return best

    return run


def _index_of(elements: list[Value], wanted: Value) -> int:
    return next((index for index, each in enumerate(elements) if equals(each, wanted)), -1)


def _last_index_of(elements: list[Value], wanted: Value) -> int:
    return next((index for index in range(len(elements) - 1, -1, -1) if equals(elements[index], wanted)), -1)


_ZERO: Final = {"int": 0, "uint": Uint(0), "double": 0.0, "duration": Duration(0)}


LISTS: Final = Library(
    "lists",
    (
        method("isSorted", *(Overload((list_of(each),), BOOL, _is_sorted, charge) for each in _ORDERED)),
        method("sum", *(Overload((list_of(each),), each, _sum(_ZERO[each.kind]), charge) for each in _SUMMED)),
        method("min", *(Overload((list_of(each),), each, _extreme("min", _less), charge) for each in _ORDERED)),
        method(
            "max",
            *(Overload((list_of(each),), each, _extreme("max", lambda a, b: _less(b, a)), charge) for each in _ORDERED),
        ),
        method("indexOf", Overload((list_of(A), A), INT, _index_of, weight)),
        method("lastIndexOf", Overload((list_of(A), A), INT, _last_index_of, weight)),
    ),
)
