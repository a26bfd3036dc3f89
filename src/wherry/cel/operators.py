"""The closures of operators, quick for what is common (equal strings, small integers), exact for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wherry.cel import access
from wherry.cel import arithmetic as num
from wherry.cel.errors import no_overload
from wherry.cel.frame import Frame, Run, spend
from wherry.cel.values import INT_MAX, INT_MIN, LISTS, LONG, SetList, Value, equals

_COMPARE: Final = {
    "_<_": num.comparison(lambda a, b: bool(a < b)),
    "_<=_": num.comparison(lambda a, b: bool(a <= b)),
    "_>_": num.comparison(lambda a, b: bool(a > b)),
    "_>=_": num.comparison(lambda a, b: bool(a >= b)),
}
_PLAIN: Final[dict[str, Callable[[Value, Value], Value]]] = {
    "_-_": num.subtract,
    "_*_": num.multiply,
    "_/_": num.divide,
    "_%_": num.modulo,
    "_[_]": access.index,
    "_[?_]": access.index_optional,
}
BINARY: Final = frozenset((*_PLAIN, *_COMPARE, "_+_", "_==_", "_!=_", "@in"))


def binary(name: str, left: Run, right: Run) -> Run:
    """The closure of an operator of two operands."""
    if name in ("_==_", "_!=_"):
        return _equality(left, right, wanted=name == "_==_")
    if name == "_+_":
        return _addition(left, right)
    if name == "@in":
        return _membership(left, right)
    if name in _COMPARE:
        return _comparison(_COMPARE[name], left, right)
    operate = _PLAIN[name]
    return lambda frame: operate(left(frame), right(frame))


def _equality(left: Run, right: Run, wanted: bool) -> Run:
    def run(frame: Frame) -> Value:
        (a, b) = (left(frame), right(frame))
        kind = type(a)
        if kind is type(b) and (kind is int or (kind is str and len(a) <= LONG)):
            return (a == b) is wanted
        return equals(a, b, lambda cost: spend(frame, cost)) is wanted

    return run


def _comparison(compare: Callable[[Value, Value], bool], left: Run, right: Run) -> Run:
    def run(frame: Frame) -> Value:
        (a, b) = (left(frame), right(frame))
        if hasattr(a, "__len__") and len(a) > LONG:
            spend(frame, len(a) // 10)
        return compare(a, b)

    return run


def _addition(left: Run, right: Run) -> Run:
    def run(frame: Frame) -> Value:
        (a, b) = (left(frame), right(frame))
        if type(a) is int and type(b) is int:
            total = a + b
            return total if INT_MIN <= total <= INT_MAX else num.fit(total)
        if hasattr(a, "__len__") and hasattr(b, "__len__"):  # before it is made: doubling again and again ends here
            size = len(a) + len(b)
            if type(a) is SetList:
                size += len(a) * len(b)  # each is looked for
            spend(frame, size if type(a) in LISTS else size // 10)
        return num.add(a, b)

    return run


def _membership(left: Run, right: Run) -> Run:
    def run(frame: Frame) -> Value:
        (element, container) = (left(frame), right(frame))
        return num.contains(container, element, lambda cost: spend(frame, cost))

    return run


def _not(operand: Run) -> Run:
    def run(frame: Frame) -> Value:
        value = operand(frame)
        if type(value) is not bool:
            raise no_overload()
        return not value

    return run


UNARY: Final[dict[str, Callable[[Run], Run]]] = {
    "!_": _not,
    "-_": lambda operand: lambda frame: num.negate(operand(frame)),
}
