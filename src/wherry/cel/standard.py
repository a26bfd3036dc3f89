"""The standard library of CEL: operators, sizes, strings, conversions, time. Source: cel-spec (doc/langdef.md, "List of Standard
Definitions"). Operators stand here for the checker; the evaluator runs them through `operations`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from wherry.cel import arithmetic as num
from wherry.cel import conversions as to
from wherry.cel import regex
from wherry.cel.functions import Charge, Function, Library, Overload, function, method
from wherry.cel.times import NANOS, Duration, Timestamp, parse_duration, parse_timestamp, zone
from wherry.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    A,
    B,
    Type,
    list_of,
    map_of,
    optional_of,
    type_of,
)
from wherry.cel.values import Value

_NUMBERS: Final = (INT, UINT, DOUBLE)
_LIST: Final = list_of(A)
_MAP: Final = map_of(A, B)


def traversal(text: str | bytes, *_: Value) -> int:
    """A tenth for each character, as cel-go counts reading a string."""
    return len(text) // 10


def _search(text: str, part: str) -> int:
    return (len(text) // 10 + 1) * (len(part) // 10 + 1)


def _both(a: Value, b: Value) -> int:
    return (len(a) + len(b)) // 10 if hasattr(a, "__len__") else 0


def _operator(
    name: str, run: Callable[..., Value], *signatures: tuple[Type, ...], charge: Charge | None = None
) -> Function:
    return function(name, *(Overload(tuple(each[:-1]), each[-1], run, charge) for each in signatures))


def _comparison(name: str, decide: Callable[[Value, Value], bool]) -> Function:
    same = [(each, each, BOOL) for each in (BOOL, *_NUMBERS, STRING, BYTES, TIMESTAMP, DURATION)]
    mixed = [(a, b, BOOL) for a in _NUMBERS for b in _NUMBERS if a is not b]
    return _operator(name, num.comparison(decide), *same, *mixed)


def _unrun(*_: Value) -> Value:
    raise AssertionError("the evaluator knows this operator")


_OPTIONAL_INDEX: Final = (
    (optional_of(_LIST), INT, optional_of(A)),
    (optional_of(_MAP), A, optional_of(B)),
)
OPERATORS: Final = (
    _operator(
        "_+_",
        num.add,
        *((each, each, each) for each in (*_NUMBERS, STRING, BYTES, DURATION)),
        (_LIST, _LIST, _LIST),
        (TIMESTAMP, DURATION, TIMESTAMP),
        (DURATION, TIMESTAMP, TIMESTAMP),
        charge=_both,
    ),
    _operator(
        "_-_",
        num.subtract,
        *((each, each, each) for each in (*_NUMBERS, DURATION)),
        (TIMESTAMP, TIMESTAMP, DURATION),
        (TIMESTAMP, DURATION, TIMESTAMP),
    ),
    _operator("_*_", num.multiply, *((each, each, each) for each in _NUMBERS)),
    _operator("_/_", num.divide, *((each, each, each) for each in _NUMBERS)),
    _operator("_%_", num.modulo, (INT, INT, INT), (UINT, UINT, UINT)),
    _operator("-_", num.negate, (INT, INT), (DOUBLE, DOUBLE)),
    _operator("!_", _unrun, (BOOL, BOOL)),
    _operator("_==_", _unrun, (A, A, BOOL)),
    _operator("_!=_", _unrun, (A, A, BOOL)),
    _operator("@in", _unrun, (A, _LIST, BOOL), (A, _MAP, BOOL)),
    _operator("_?_:_", _unrun, (BOOL, A, A, A)),
    _operator("_&&_", _unrun, (BOOL, BOOL, BOOL)),
    _operator("_||_", _unrun, (BOOL, BOOL, BOOL)),
    _operator("_[_]", _unrun, (_LIST, INT, A), (_MAP, A, B), *_OPTIONAL_INDEX),
    _operator("_[?_]", _unrun, (_LIST, INT, optional_of(A)), (_MAP, A, optional_of(B)), *_OPTIONAL_INDEX),
    _comparison("_<_", lambda a, b: bool(a < b)),
    _comparison("_<=_", lambda a, b: bool(a <= b)),
    _comparison("_>_", lambda a, b: bool(a > b)),
    _comparison("_>=_", lambda a, b: bool(a >= b)),
)  # fmt: skip


def _size() -> list[Overload]:
    return [Overload((each,), INT, len, traversal if each is STRING else None) for each in (STRING, BYTES, _LIST, _MAP)]


def _same(value: Value) -> Value:
    return value


def _conversions() -> list[Function]:
    def conversion(name: str, result: Type, *ways: tuple[Type, Callable[..., Value]]) -> Function:
        charge = traversal
        return function(
            name, *(Overload((each,), result, run, charge if each in (STRING, BYTES) else None) for each, run in ways)
        )

    return [
        conversion("bool", BOOL, (BOOL, _same), (STRING, to.bool_of_string)),
        conversion(
            "int",
            INT,
            (INT, _same),
            (UINT, to.int_of_uint),
            (DOUBLE, to.int_of_double),
            (STRING, to.int_of_string),
            (TIMESTAMP, to.int_of_timestamp),
            (DURATION, to.int_of_duration),
        ),
        conversion(
            "uint", UINT, (UINT, _same), (INT, to.uint_of_int), (DOUBLE, to.uint_of_double), (STRING, to.uint_of_string)
        ),
        conversion("double", DOUBLE, (DOUBLE, _same), (INT, float), (UINT, float), (STRING, to.double_of_string)),
        conversion(
            "string",
            STRING,
            (STRING, _same),
            (BOOL, to.string_of_bool),
            (INT, str),
            (UINT, lambda value: str(int(value))),
            (DOUBLE, to.string_of_double),
            (BYTES, to.string_of_bytes),
            (TIMESTAMP, str),
            (DURATION, str),
        ),
        conversion("bytes", BYTES, (BYTES, _same), (STRING, to.bytes_of_string)),
        conversion("duration", DURATION, (DURATION, _same), (STRING, parse_duration), (INT, Duration)),
        conversion(
            "timestamp",
            TIMESTAMP,
            (TIMESTAMP, _same),
            (STRING, parse_timestamp),
            (INT, lambda value: Timestamp(value * NANOS)),
        ),
        function("dyn", Overload((A,), DYN, _same)),
        function("type", Overload((A,), type_of(A), to.type_of_value)),
    ]


def _moments() -> list[Function]:
    parts: dict[str, Callable[[datetime], int]] = {
        "getFullYear": lambda at: at.year,
        "getMonth": lambda at: at.month - 1,
        "getDate": lambda at: at.day,
        "getDayOfMonth": lambda at: at.day - 1,
        "getDayOfWeek": lambda at: at.isoweekday() % 7,
        "getDayOfYear": lambda at: at.timetuple().tm_yday - 1,
        "getHours": lambda at: at.hour,
        "getMinutes": lambda at: at.minute,
        "getSeconds": lambda at: at.second,
        "getMilliseconds": lambda at: at.microsecond // 1000,
    }
    spans = {"getHours": 3600 * NANOS, "getMinutes": 60 * NANOS, "getSeconds": NANOS}

    def part(name: str, read: Callable[[datetime], int]) -> Function:
        overloads = [
            Overload((TIMESTAMP,), INT, lambda at: read(at.at())),
            Overload((TIMESTAMP, STRING), INT, lambda at, name: read(at.at(zone(name)))),
        ]
        if name in spans:
            overloads.append(Overload((DURATION,), INT, lambda span: int(_towards_zero(span.nanos, spans[name]))))
        if name == "getMilliseconds":
            overloads.append(Overload((DURATION,), INT, lambda span: _towards_zero(_rest(span.nanos, NANOS), 10**6)))
        return method(name, *overloads)

    return [part(name, read) for name, read in parts.items()]


def _towards_zero(value: int, unit: int) -> int:
    return value // unit if value >= 0 else -(-value // unit)


def _rest(value: int, unit: int) -> int:
    return value % unit if value >= 0 else -(-value % unit)


STANDARD: Final = Library(
    "standard",
    (
        *OPERATORS,
        function("size", *_size()),
        method("size", *_size()),
        *_conversions(),
        *_moments(),
        method("contains", Overload((STRING, STRING), BOOL, lambda text, part: part in text, _search)),
        method("startsWith", Overload((STRING, STRING), BOOL, str.startswith, lambda text, part: len(part) // 10)),
        method("endsWith", Overload((STRING, STRING), BOOL, str.endswith, lambda text, part: len(part) // 10)),
        method("matches", Overload((STRING, STRING), BOOL, regex.matches, regex.charge)),
        function("matches", Overload((STRING, STRING), BOOL, regex.matches, regex.charge)),
    ),
    types={
        "bool": BOOL,
        "int": INT,
        "uint": UINT,
        "double": DOUBLE,
        "string": STRING,
        "bytes": BYTES,
        "list": list_of(DYN),
        "map": map_of(DYN, DYN),
        "null_type": NULL,
        "type": TYPE,
        "google.protobuf.Timestamp": TIMESTAMP,
        "google.protobuf.Duration": DURATION,
    },
)
