"""Timestamps and durations: exact to a nanosecond, within the range the specification of CEL gives them.

Source: RFC 3339 and google.protobuf.Timestamp (years 1 to 9999); durations are int64 nanoseconds in Go's notation (`1h30m`).
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from wherry.cel.errors import Failure
from wherry.cel.values import INT_MAX, INT_MIN

NANOS: Final = 10**9
_FIRST: Final = -62135596800 * NANOS
_LAST: Final = 253402300799 * NANOS + (NANOS - 1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 10**6,
    "s": NANOS,
    "m": 60 * NANOS,
    "h": 3600 * NANOS,
}
_PART: Final = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_STAMP: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_OFFSET: Final = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)
_TEXT_MAX: Final = 200
"""Characters of a duration or timestamp; digits beyond a nanosecond count for nothing."""


class Duration:
    """A span of time; `nanos` is an int64."""

    __slots__ = ("nanos",)
    type_name = "google.protobuf.Duration"

    def __init__(self, nanos: int) -> None:
        if not INT_MIN <= nanos <= INT_MAX:
            raise Failure("duration overflow")
        self.nanos = nanos

    def equals(self, other: Duration) -> bool:
        return self.nanos == other.nanos

    def __str__(self) -> str:
        """Seconds, as protocol buffers write them in JSON: `5400s`, `1.5s`."""
        (whole, rest) = divmod(abs(self.nanos), NANOS)
        fraction = f".{rest:09d}".rstrip("0") if rest else ""
        return f"{'-' if self.nanos < 0 else ''}{whole}{fraction}s"


class Timestamp:
    """A moment; `nanos` counts from 1970 in UTC."""

    __slots__ = ("nanos",)
    type_name = "google.protobuf.Timestamp"

    def __init__(self, nanos: int) -> None:
        if not _FIRST <= nanos <= _LAST:
            raise Failure("timestamp overflow")
        self.nanos = nanos

    def equals(self, other: Timestamp) -> bool:
        return self.nanos == other.nanos

    def at(self, zone: tzinfo = UTC) -> datetime:
        """Without the part below a microsecond; Failure when the zone moves it out of the calendar."""
        (seconds, rest) = divmod(self.nanos, NANOS)
        try:
            return (_EPOCH + timedelta(seconds=seconds, microseconds=rest // 1000)).astimezone(zone)
        except OverflowError:
            raise Failure("timestamp overflow") from None

    def __str__(self) -> str:
        (seconds, rest) = divmod(self.nanos, NANOS)
        moment = _EPOCH + timedelta(seconds=seconds)
        fraction = f".{rest:09d}".rstrip("0") if rest else ""
        return f"{moment.year:04d}-{moment.strftime('%m-%dT%H:%M:%S')}{fraction}Z"


def parse_duration(text: str) -> Duration:
    """`1h30m`, `-1.5s`, `0`."""
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return Duration(0)
    (total, position) = (0, 0)
    while position < len(rest) <= _TEXT_MAX:
        match = _PART.match(rest, position)
        if match is None or not (match[1] or match[2]):
            break
        unit = _UNITS[match[3]]
        total += int(match[1] or "0") * unit
        if match[2]:
            total += int(match[2]) * unit // 10 ** len(match[2])
        position = match.end()
    if not rest or position != len(rest):
        raise Failure(f'time: invalid duration "{text[:_TEXT_MAX]}"')
    return Duration(-total if text[0] == "-" else total)


@lru_cache(maxsize=256)  # moments that stand in rules are read once
def parse_timestamp(text: str) -> Timestamp:
    """RFC 3339; a date alone is none (see `parse_date`)."""
    match = _STAMP.fullmatch(text) if len(text) <= _TEXT_MAX else None
    if match is None:
        raise Failure(f'parsing time "{text[:_TEXT_MAX]}" as "2006-01-02T15:04:05Z07:00": cannot parse')
    (year, month, day, hour, minute, second) = (int(match[group]) for group in range(1, 7))
    nanos = int((match[7] or "")[:9].ljust(9, "0"))
    offset = 0
    if match[8]:
        offset = (int(match[9]) * 3600 + int(match[10]) * 60) * (-1 if match[8] == "-" else 1)
    try:
        days = date(year, month, day).toordinal() - _EPOCH.toordinal()
    except ValueError:
        days = None
    if days is None or hour > 23 or minute > 59 or second > 59 or (match[9] and (match[9] > "23" or match[10] > "59")):
        raise Failure(f'parsing time "{text}": out of range')
    return Timestamp((days * 86400 + hour * 3600 + minute * 60 + second - offset) * NANOS + nanos)


def parse_date(text: str) -> Timestamp:
    """`2006-01-02`, midnight in UTC: a string of `format: date`."""
    return parse_timestamp(f"{text}T00:00:00Z")


@lru_cache(maxsize=256)  # a bound on what hostile expressions may make it keep
def zone(name: str) -> tzinfo:
    """`America/Los_Angeles`, `-08:00`, `UTC` or empty; Failure for anything else."""
    if name in ("", "UTC"):
        return UTC
    match = _OFFSET.fullmatch(name)
    if match is not None and match[2] <= "23" and match[3] <= "59":
        minutes = int(match[2]) * 60 + int(match[3])
        return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
    if re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", name):
        with suppress(ValueError, OSError, KeyError):
            return ZoneInfo(name)
    raise Failure(f"unknown time zone {name}")
