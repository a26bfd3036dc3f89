"""`"%s is %d".format([x, 3])`: the clauses %s %d %f %e %b %o %x %X %%.

Source: cel-go's string extension, version 2, which Kubernetes enables, with what is odd about it: %f and %e write numbers for
English readers (`1,234.500000`, `1.5 × 10⁰³`), a precision given to %e is not used, and what is inside a list or map is written
as a literal of CEL. Clauses and types are checked when the expression is compiled, where template and list are written down.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Final

from wherry.cel.conversions import string_of_bytes, string_of_double
from wherry.cel.errors import Failure
from wherry.cel.times import Duration, Timestamp
from wherry.cel.values import LISTS, TypeValue, Value, map_keys, type_name

_CLAUSE: Final = re.compile(r"%(?:%|(\.\d*)?(.)?)", re.DOTALL | re.ASCII)
_PRECISION_MAX: Final = 1000
_DEPTH_MAX: Final = 100
"""Levels of lists and maps that `%s` shows."""
_SUPERSCRIPT: Final = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_QUOTED: Final = str.maketrans(
    {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
        "\\": "\\\\",
        '"': '\\"',
    }
)


def quoted(text: str) -> str:
    """A string as a literal of CEL."""
    return f'"{text.translate(_QUOTED)}"'


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
    made: list[str] = []
    position = 0
    for match, index in _clauses(text):
        made.append(text[position : match.start()])
        position = match.end()
        if index is None:
            made.append("%")
            continue
        if index >= len(args):
            raise Failure(f"index {index} out of range")
        (write, digits) = _clause(match)
        try:
            made.append(write(args[index], digits))
        except Failure as failure:
            raise Failure(f"error during formatting: {failure}") from None
    return "".join(made) + text[position:]


def misfit(text: str, kinds: list[str]) -> tuple[int | None, str] | None:
    """What is wrong with a template for arguments of these kinds of types: index of the argument, if one is to blame, and
    why. None when all is well."""
    count = 0
    for match, index in _clauses(text):
        if index is None:
            continue
        if index >= len(kinds):
            return None, f"index {index} out of range"
        try:
            _clause(match)
        except Failure as failure:
            return None, str(failure)
        (accepted, complaint) = _ACCEPTED[match[2]]
        if kinds[index] not in accepted and kinds[index] not in ("dyn", "error", "parameter"):
            return index, f"error during formatting: {complaint}, was given {kinds[index]}"
        count += 1
    if len(kinds) > count:
        return None, f"too many arguments supplied to string.format (expected {count}, got {len(kinds)})"
    return None


def _clauses(text: str) -> Iterator[tuple[re.Match[str], int | None]]:
    """Each clause with the index of its argument; `%%` has none."""
    index = 0
    for match in _CLAUSE.finditer(text):
        if match[0] == "%%":
            yield match, None
        else:
            yield match, index
            index += 1


def _clause(match: re.Match[str]) -> tuple[Callable[[Value, int], str], int]:
    (precision, letter) = match.groups()
    if letter is None:
        raise Failure("unexpected end of string")
    write = _CLAUSES.get(letter)
    if write is None:
        raise Failure(f'could not parse formatting clause: unrecognized formatting clause "{letter}"')
    digits = 6 if precision is None else int(precision[1:5] or "0")
    if digits > _PRECISION_MAX:
        raise Failure(f"could not parse formatting clause: error while parsing precision: {digits} is too large")
    return write, digits


def _string(value: Value, _: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return string_of_double(value)
    if isinstance(value, bytes):
        return string_of_bytes(value)
    if isinstance(value, Timestamp | Duration):
        return str(value)
    return _literal(value)


def _literal(value: Value, depth: int = 0) -> str:
    """As it would stand in an expression."""
    if isinstance(value, str):
        return quoted(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:.6f}" if math.isfinite(value) else quoted(string_of_double(value))
    if isinstance(value, bytes):
        return f"b{quoted(string_of_bytes(value))}"
    if isinstance(value, Timestamp | Duration):
        return f'{type(value).__name__.lower()}("{value}")'
    if isinstance(value, TypeValue):
        return str(value)
    if depth >= _DEPTH_MAX:
        raise Failure("the value is too deep")
    if type(value) in LISTS:
        return f"[{', '.join(_literal(each, depth + 1) for each in value)}]"
    if type(value) is dict:
        pairs = zip(map_keys(value), value.values(), strict=True)
        shown = {_literal(key): _literal(each, depth + 1) for key, each in pairs}
        return "{" + ", ".join(f"{key}:{shown[key]}" for key in sorted(shown)) + "}"
    raise _wrong("s", value)


def _wrong(letter: str, value: Value) -> Failure:
    return Failure(f"{_ACCEPTED[letter][1]}, was given {type_name(value)}")


def _decimal(value: Value, _: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong("d", value)
    return str(int(value))


def _double(value: Value, letter: str) -> float:
    if isinstance(value, str) and value in _SPECIAL:
        return _SPECIAL[value]
    if not isinstance(value, float):
        raise _wrong(letter, value)
    return value


def _endless(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    return ("∞" if number > 0 else "-∞") if math.isinf(number) else ""


def _fixed(value: Value, digits: int) -> str:
    number = _double(value, "f")
    return _endless(number) or f"{number:,.{digits}f}"


def _scientific(value: Value, _: int) -> str:
    number = _double(value, "e")
    if endless := _endless(number):
        return endless
    (mantissa, exponent) = f"{number:.6e}".split("e")
    return f"{mantissa}\u202f×\u202f10{exponent.removeprefix('+').translate(_SUPERSCRIPT)}"


def _binary(value: Value, _: int) -> str:
    if not isinstance(value, int):
        raise _wrong("b", value)
    return f"{int(value):b}"


def _octal(value: Value, _: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong("o", value)
    return f"{int(value):o}"


def _hexadecimal(value: Value, _: int) -> str:
    if isinstance(value, str | bytes):
        return (value.encode("utf-8", "replace") if isinstance(value, str) else value).hex()
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong("x", value)
    return f"{int(value):x}"


_CLAUSES: Final[dict[str, Callable[[Value, int], str]]] = {
    "s": _string,
    "d": _decimal,
    "f": _fixed,
    "e": _scientific,
    "b": _binary,
    "o": _octal,
    "x": _hexadecimal,
    "X": lambda value, digits: _hexadecimal(value, digits).upper(),
}
_SHOWN: Final = frozenset(
    (
        *("list", "map", "int", "uint", "double", "bool", "string", "timestamp", "bytes", "duration", "type", "null"),
        *("google.protobuf.Timestamp", "google.protobuf.Duration", "null_type"),
    )
)
_HEX: Final = (
    frozenset(("int", "uint", "string", "bytes")),
    "only integers, byte buffers, and strings can be formatted as hex",
)
_ACCEPTED: Final = {
    "s": (
        _SHOWN,
        "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps",
    ),
    "d": (frozenset(("int", "uint")), "decimal clause can only be used on integers"),
    "f": (frozenset(("double", "string")), "fixed-point clause can only be used on doubles"),
    "e": (frozenset(("double", "string")), "scientific clause can only be used on doubles"),
    "b": (frozenset(("int", "uint", "bool")), "only integers and bools can be formatted as binary"),
    "o": (frozenset(("int", "uint")), "octal clause can only be used on integers"),
    "x": _HEX,
    "X": _HEX,
}
"""Clause -> the kinds of types it takes, and what is said of others."""
