"""Times on the wire: RFC 3339 in UTC, whole seconds (metav1.Time) or microseconds (metav1.MicroTime).

Reads what Kubernetes reads and refuses the rest in its words, which name the layout and the part that did not fit.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

_LAYOUT: Final = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT: Final = "2006-01-02T15:04:05.000000Z07:00"
# (what the layout calls it, how it looks, name and range when it can be out of range)
_PARTS: Final = [
    ("2006", "[0-9]{4}", "", 0, 9999),
    ("-", "-", "", 0, 0),
    ("01", "[0-9]{2}", "month", 1, 12),
    ("-", "-", "", 0, 0),
    ("02", "[0-9]{2}", "day", 1, 31),
    ("T", "T", "", 0, 0),
    ("15", "[0-9]{2}", "hour", 0, 23),
    (":", ":", "", 0, 0),
    ("04", "[0-9]{2}", "minute", 0, 59),
    (":", ":", "", 0, 0),
    ("05", "[0-9]{2}", "second", 0, 59),
]
_FRACTION: Final = re.compile(r"[.,]([0-9]+)")
_MICROS: Final = re.compile(r"\.([0-9]{6})(?![0-9])")
_ZONE: Final = re.compile(r"Z|([+-])([0-9]{2}):([0-9]{2})")


_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(seconds: int) -> str:
    """The value of a Date header (RFC 9110, IMF-fixdate): `Sat, 21 Nov 2026 08:17:27 GMT`."""
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year} {at:%H:%M:%S} GMT"


@lru_cache(4096)  # objects are full of the same few moments
def canonical(text: str, micro: bool = False) -> str:
    """The same moment as Kubernetes stores it; ValueError with its message for anything else."""
    moment = _parse(text, micro).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


def _parse(text: str, micro: bool) -> datetime:
    layout = _MICRO_LAYOUT if micro else _LAYOUT
    (rest, numbers) = (text, [])
    for name, pattern, what, low, high in _PARTS:
        match = re.match(pattern, rest, re.ASCII)
        if match is None:
            raise ValueError(_cannot_parse(text, layout, rest, name))
        rest = rest[match.end() :]
        if match[0].isdigit():
            number = int(match[0])
            if not low <= number <= high:
                raise ValueError(f'parsing time "{text}": {what} out of range')
            numbers.append(number)
    fraction = (_MICROS if micro else _FRACTION).match(rest)
    if fraction is not None:
        rest = rest[fraction.end() :]
    elif micro:
        raise ValueError(_cannot_parse(text, layout, rest, ".000000"))
    zone = _ZONE.match(rest)
    if zone is None:
        raise ValueError(_cannot_parse(text, layout, rest, "Z07:00"))
    if rest[zone.end() :]:
        raise ValueError(f'parsing time "{text}": extra text: "{rest[zone.end() :]}"')
    micros = int((fraction[1] + "000000")[:6]) if fraction is not None else 0
    try:
        return datetime(*numbers[:3], *numbers[3:], micros, tzinfo=_zone(zone))  # type: ignore[misc,arg-type]
    except (ValueError, OverflowError):
        raise ValueError(f'parsing time "{text}": day out of range') from None


def _zone(match: re.Match[str]) -> timezone:
    if match[1] is None:
        return UTC
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(offset if match[1] == "+" else -offset)


def _cannot_parse(text: str, layout: str, rest: str, part: str) -> str:
    return f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{part}"'
