"""From one type to another: `int("7")`, `string(1.5)`, `type(x)`. What does not fit is an error, nothing is cut off silently."""

from __future__ import annotations

import math
import re
from typing import Final

from wherry.cel.errors import Failure
from wherry.cel.times import NANOS, Duration, Timestamp
from wherry.cel.values import INT_MAX, INT_MIN, UINT_MAX, TypeValue, Uint, Value, type_name

_INTEGER: Final = re.compile(r"[+-]?\d{1,30}", re.ASCII)
_UNSIGNED: Final = re.compile(r"\d{1,30}", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf|infinity|nan))", re.ASCII)
_TRUE: Final = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE: Final = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_DOUBLE_TEXT_MAX: Final = 2000
"""Characters of a number worth reading."""


def int_of_double(value: float) -> int:
    """Towards zero; the borders themselves are no int64 any more once they went through a double."""
    if math.isnan(value) or not -9223372036854775808.0 < value < 9223372036854775808.0:
        raise Failure("integer overflow")
    return int(value)


def int_of_uint(value: Uint) -> int:
    if value > INT_MAX:
        raise Failure("integer overflow")
    return int(value)


def int_of_string(value: str) -> int:
    if not _INTEGER.fullmatch(value) or not INT_MIN <= int(value) <= INT_MAX:
        raise Failure(f'strconv.ParseInt: parsing "{value[:80]}": invalid syntax')
    return int(value)


def int_of_timestamp(value: Timestamp) -> int:
    return value.nanos // NANOS


def int_of_duration(value: Duration) -> int:
    return value.nanos


def uint_of_double(value: float) -> Uint:
    if math.isnan(value) or not 0 <= value < 18446744073709551616.0:
        raise Failure("unsigned integer overflow")
    return Uint(value)


def uint_of_int(value: int) -> Uint:
    if value < 0:
        raise Failure("unsigned integer overflow")
    return Uint(value)


def uint_of_string(value: str) -> Uint:
    if not _UNSIGNED.fullmatch(value) or int(value) > UINT_MAX:
        raise Failure(f'strconv.ParseUint: parsing "{value[:80]}": invalid syntax')
    return Uint(value)


def double_of_string(value: str) -> float:
    if len(value) > _DOUBLE_TEXT_MAX or not _DECIMAL.fullmatch(value):
        raise Failure(f'strconv.ParseFloat: parsing "{value[:80]}": invalid syntax')
    return float(value)


def bool_of_string(value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise Failure(f'strconv.ParseBool: parsing "{value[:80]}": invalid syntax')


def string_of_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Failure("invalid UTF-8 in bytes, cannot convert to string") from None


def bytes_of_string(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def string_of_bool(value: bool) -> str:
    return "true" if value else "false"


def string_of_double(value: float) -> str:
    """The shortest text that reads back, with an exponent below 1e-4 and from 1e6 on, as Go writes them (`%g`)."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    (digits, exponent) = f"{value!r}", 0
    sign = "-" if value < 0 else ""
    digits = digits.lstrip("-")
    if "e" in digits:
        (digits, power) = digits.split("e")
        exponent = int(power)
    (whole, _, fraction) = digits.partition(".")
    fraction = "" if fraction == "0" else fraction
    point = len(whole) + exponent
    plain = whole + fraction
    leading = len(plain) - len(plain.lstrip("0"))
    (plain, point) = (plain.lstrip("0").rstrip("0"), point - leading)
    if -4 <= point - 1 < 6:
        if point <= 0:
            return f"{sign}0.{'0' * -point}{plain}"
        whole = plain[:point].ljust(point, "0")
        return sign + whole + (f".{plain[point:]}" if plain[point:] else "")
    mantissa = plain[0] + (f".{plain[1:]}" if plain[1:] else "")
    return f"{sign}{mantissa}e{'-' if point < 1 else '+'}{abs(point - 1):02d}"


def type_of_value(value: Value) -> TypeValue:
    return TypeValue(type_name(value))
