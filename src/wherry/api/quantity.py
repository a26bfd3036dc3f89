"""Amounts of a resource: 500m, 1Gi, 1e3; exact to a billionth, compared by value, printed in canonical form.

Source: the documented format of k8s.io/apimachinery/pkg/api/resource.Quantity. Amounts finer than a billionth are rounded
away from zero, amounts beyond 2^63-1 are capped, and `1000m` prints as `1`, `1024Mi` as `1Gi`, `1e3` as `1e3`.
"""

from __future__ import annotations

import re
from functools import lru_cache, total_ordering
from typing import Final, Literal, TypeAlias

from wherry.api.integers import capped

Format: TypeAlias = Literal["BinarySI", "DecimalSI", "DecimalExponent"]

PATTERN_MESSAGE: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
SUFFIX_MESSAGE: Final = "unable to parse quantity's suffix"

_PATTERN: Final = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL_NAMES: Final = {exponent: name for name, exponent in _DECIMAL.items()}
_BINARY_NAMES: Final = {0: "", **{power: name for name, power in _BINARY.items()}}
_NANO: Final = 10**9
_MAX: Final = (2**63 - 1) * _NANO
_DIGITS_MAX: Final = 1_000  # what comes after them changes nothing but the time it takes
_EXPONENT_MAX: Final = 10_000  # far beyond the cap; keeps 1e999999999 from costing memory


class QuantityError(ValueError):
    """The text is no quantity; the message is Kubernetes'."""


@total_ordering
class Quantity:
    """An immutable amount. `nanos` is the amount in billionths, `format` how it prefers to be printed."""

    __slots__ = ("format", "nanos")

    def __init__(self, nanos: int, format: Format = "DecimalSI") -> None:
        self.nanos = max(-_MAX, min(_MAX, nanos))
        self.format: Format = format

    @classmethod
    def parse(cls, text: str | int | float) -> Quantity:
        """From what stands in JSON, a string or a number; QuantityError when it is none."""
        if isinstance(text, bool) or not isinstance(text, str | int | float):
            raise QuantityError(PATTERN_MESSAGE)
        return _parse(str(text))

    @classmethod
    def from_value(cls, value: int, format: Format = "DecimalSI") -> Quantity:
        return cls(value * _NANO, format)

    @classmethod
    def from_milli(cls, milli: int, format: Format = "DecimalSI") -> Quantity:
        return cls(milli * 10**6, format)

    def value(self) -> int:
        """Whole units, rounded away from zero."""
        return _scaled(self.nanos, _NANO)

    def milli_value(self) -> int:
        """Thousandths, rounded away from zero."""
        return _scaled(self.nanos, 10**6)

    def round_up_milli(self) -> Quantity:
        """What Kubernetes keeps of amounts in a ResourceList: nothing finer than a thousandth."""
        return self if self.nanos % 10**6 == 0 else Quantity(self.milli_value() * 10**6, self.format)

    def is_zero(self) -> bool:
        return self.nanos == 0

    def __str__(self) -> str:
        if self.nanos == 0:
            return "0"
        if self.format == "BinarySI" and abs(self.nanos) >= 1024 * _NANO and self.nanos % _NANO == 0:
            return _binary(self.nanos // _NANO)
        return _decimal(self.nanos, exponents=self.format == "DecimalExponent")

    def __repr__(self) -> str:
        return f"Quantity({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nanos == other.nanos

    def __lt__(self, other: Quantity) -> bool:
        return self.nanos < other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos + other.nanos, other.format if self.nanos == 0 else self.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos - other.nanos, other.format if self.nanos == 0 else self.format)

    def __mul__(self, times: int) -> Quantity:
        return Quantity(self.nanos * times, self.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nanos, self.format)


@lru_cache(maxsize=1024)  # manifests say the same few amounts again and again, and a Quantity never changes
def _parse(text: str) -> Quantity:
    match = _PATTERN.fullmatch(text.strip())
    if match is None or not (match[2] or match[3] or match[4]):
        raise QuantityError(PATTERN_MESSAGE)
    (sign, whole, fraction, suffix) = (match[1], match[2], match[3] or "", match[4])
    (base, exponent, format) = _suffix(suffix)
    if not whole and not fraction:
        raise QuantityError(PATTERN_MESSAGE)
    # digits * 10^-len(fraction) * base^exponent * 10^9, without ever leaving the integers
    digits, places = (whole + fraction).lstrip("0"), len(fraction)
    if len(digits) > _DIGITS_MAX:
        digits, places = digits[:_DIGITS_MAX], max(places - len(digits) + _DIGITS_MAX, -_EXPONENT_MAX)
    places = min(places, 2 * _EXPONENT_MAX)
    numerator = int(digits or "0") * _NANO * 10 ** max(-places, 0)
    if exponent >= 0:
        numerator *= base**exponent
    denominator = 10 ** max(places, 0) * (base**-exponent if exponent < 0 else 1)
    nanos = -(-numerator // denominator)
    return Quantity(-nanos if sign == "-" else nanos, format)


def _suffix(suffix: str) -> tuple[int, int, Format]:
    """(base, exponent, format) of a suffix."""
    if suffix in _DECIMAL:
        return 10, _DECIMAL[suffix], "DecimalSI"
    if suffix in _BINARY:
        return 1024, _BINARY[suffix], "BinarySI"
    if suffix[0] in "eE" and re.fullmatch(r"[-+]?[0-9]+", suffix[1:]):
        exponent = capped(suffix[1:])
        return 10, max(-_EXPONENT_MAX, min(_EXPONENT_MAX, exponent)), "DecimalExponent"
    raise QuantityError(SUFFIX_MESSAGE)


def _scaled(nanos: int, unit: int) -> int:
    return -(-nanos // unit) if nanos >= 0 else nanos // unit


def _binary(value: int) -> str:
    power = 0
    while value % 1024 == 0 and power < 6:
        (value, power) = (value // 1024, power + 1)
    return f"{value}{_BINARY_NAMES[power]}"


def _decimal(nanos: int, *, exponents: bool) -> str:
    (value, exponent) = (nanos, -9)
    while value % 1000 == 0 and exponent < 18:
        (value, exponent) = (value // 1000, exponent + 3)
    if not exponents:
        return f"{value}{_DECIMAL_NAMES[exponent]}"
    return f"{value}e{exponent}" if exponent else str(value)
