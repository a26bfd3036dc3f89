"""`"%s is %d".format([x, 3])`: the clauses %s %d %f %e %b %o %x %X %%, with a precision for %f and %e.

Source: cel-go's string extension, `format`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from wherry.cel.conversions import string_of_double
from wherry.cel.errors import Failure
from wherry.cel.times import Duration, Timestamp
from wherry.cel.values import LISTS, TypeValue, Uint, Value, map_keys, type_name

_CLAUSE: Final = re.compile(r"%(?:%|(?:\.(\d*))?(.)|$)", re.DOTALL | re.ASCII)
_PRECISION_MAX: Final = 1000
_DEPTH_MAX: Final = 100
"""Levels of lists and maps that `%s` shows."""


def format_charge(text: str, args: list[Value]) -> int:
    """The template's length, and thrice a value's weight: writing takes longer than reading."""
    return len(text) // 10 + 3 * sum(map(weight, args))


def weight(value: Value, *_: Value, depth: int = 0) -> int:
    """How much there is to read in a value, with all it holds: one for each, a tenth for each character."""
    if isinstance(value, str | bytes):
        return len(value) // 10 + 1
    if depth < _DEPTH_MAX and type(value) in LISTS:
        return 1 + sum(weight(each, depth=depth + 1) for each in value)
    if depth < _DEPTH_MAX and type(value) is dict:
        return 1 + sum(weight(key) + weight(each, depth=depth + 1) for key, each in value.items())
    return 1


def format_string(text: str, args: list[Value]) -> str:
    """Failure for a clause that is none, or does not fit its argument."""
    rest = iter(range(len(args)))

    def clause(match: re.Match[str]) -> str:
        (precision, letter) = match.groups()
        if match[0] == "%%":
            return "%"
        if letter is None:
            raise Failure("unexpected end of string")
        index = next(rest, None)
        if index is None:
            raise Failure(f"index {len(args)} out of range")
        digits = 6 if precision is None else int(precision or "0")
        if len(precision or "") > 4 or digits > _PRECISION_MAX:
            raise Failure(f"precision {digits} is too large")
        write = _CLAUSES.get(letter)
        if write is None:
            raise Failure(f'could not parse formatting clause: unrecognized formatting clause "{letter}"')
        return write(args[index], digits)

    return _CLAUSE.sub(clause, text)


def _string(value: Value, precision: int = 0, depth: int = 0) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Uint | int):
        return str(int(value))
    if isinstance(value, float):
        return _special(value) or string_of_double(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Timestamp | Duration | TypeValue):
        return str(value)
    if depth >= _DEPTH_MAX:
        raise Failure("value is too deep to format")
    if type(value) in LISTS:
        return f"[{', '.join(_string(each, 0, depth + 1) for each in value)}]"
    if type(value) is dict:
        shown = {
            _string(key): _string(each, 0, depth + 1) for key, each in zip(map_keys(value), value.values(), strict=True)
        }
        return "{" + ", ".join(f"{key}: {shown[key]}" for key in sorted(shown)) + "}"
    raise Failure(
        "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, "
        f"durations, and timestamps, was given {type_name(value)}"
    )


def _special(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return ("Infinity" if value > 0 else "-Infinity") if math.isinf(value) else ""


def _decimal(value: Value, precision: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        if isinstance(value, float) and (special := _special(value)):
            return special
        raise Failure(
            f"error during formatting: decimal clause can only be used on integers, was given {type_name(value)}"
        )
    return str(int(value))


def _number(value: Value, clause: str) -> float:
    if isinstance(value, bool) or not isinstance(value, float | int):
        text = f"error during formatting: {clause} clause can only be used on doubles, was given {type_name(value)}"
        raise Failure(text)
    return float(value)


def _fixed(value: Value, precision: int) -> str:
    number = _number(value, "fixed-point")
    return _special(number) or f"{number:.{precision}f}"


def _scientific(value: Value, precision: int) -> str:
    number = _number(value, "scientific")
    return _special(number) or f"{number:.{precision}e}"


def _binary(value: Value, precision: int) -> str:
    if not isinstance(value, int):
        text = f"only integers and bools can be formatted as binary, was given {type_name(value)}"
        raise Failure(f"error during formatting: {text}")
    return f"{int(value):b}"


def _octal(value: Value, precision: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        text = f"octal clause can only be used on integers, was given {type_name(value)}"
        raise Failure(f"error during formatting: {text}")
    return f"{int(value):o}"


def _hexadecimal(value: Value, precision: int) -> str:
    if isinstance(value, str | bytes):
        return (value.encode("utf-8", "replace") if isinstance(value, str) else value).hex()
    if isinstance(value, bool) or not isinstance(value, int):
        text = f"only integers, byte buffers, and strings can be formatted as hex, was given {type_name(value)}"
        raise Failure(f"error during formatting: {text}")
    return f"{int(value):x}"


_CLAUSES: Final[dict[str, Callable[[Value, int], str]]] = {
    "s": _string,
    "d": _decimal,
    "f": _fixed,
    "e": _scientific,
    "b": _binary,
    "o": _octal,
    "x": _hexadecimal,
    "X": lambda value, precision: _hexadecimal(value, precision).upper(),
}
