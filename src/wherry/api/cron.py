"""When does a schedule fire? Five fields of cron, or a descriptor such as @daily and @every 1h30m.

Source: the documented behaviour of CronJob schedules and of the parser Kubernetes uses (robfig/cron, standard options),
whose texts the errors have. Times are Unix seconds; fields are read on the clock of a time zone. An hour that the zone
skips has no firings, an hour it repeats has them twice.
"""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Protocol

from msgspec import Struct

from wherry.api.integers import atoi

YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY = "0 0 1 1 *", "0 0 1 * *", "0 0 * * 0", "0 0 * * *", "0 * * * *"
DESCRIPTORS = {
    "@yearly": YEARLY,
    "@annually": YEARLY,
    "@monthly": MONTHLY,
    "@weekly": WEEKLY,
    "@daily": DAILY,
    "@midnight": DAILY,
    "@hourly": HOURLY,
}
YEARS_AHEAD = 5
"""Where the search for the next firing ends: 29 February comes within it, 30 February never does."""

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: i for i, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: i for i, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TERM = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_DURATION = re.compile(rf"[-+]?(?:{_TERM.pattern})+\Z")


class Schedule(Protocol):
    def after(self, moment: float) -> float | None:
        """The first firing after `moment`; None if there is none within YEARS_AHEAD."""
        ...


@lru_cache(maxsize=256)  # whoever looks at a CronJob asks for the same again
def parse(schedule: str, zone: tzinfo) -> Schedule:
    """The schedule on the clock of `zone`. Raises ValueError with Kubernetes' text."""
    text = schedule.strip()
    if not text:
        raise ValueError("empty spec string")
    if text.startswith("@every "):
        return _every(text)
    if text.startswith("@"):
        if text not in DESCRIPTORS:
            raise ValueError(f"unrecognized descriptor: {text}")
        text = DESCRIPTORS[text]
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected exactly {len(_FIELDS)} fields, found {len(fields)}: [{' '.join(fields)}]")
    minutes, hours, days, months, weekdays = (_field(one, *how) for one, how in zip(fields, _FIELDS, strict=True))
    return Calendar(zone, minutes[0], hours[0], days[0], months[0], weekdays[0], days[1] or weekdays[1])


class Every(Struct, frozen=True):
    """A fixed number of whole seconds after the last time, whatever the clock says."""

    seconds: int

    def after(self, moment: float) -> float:
        return float(int(moment) + self.seconds)


class Calendar(Struct, frozen=True):
    """Minutes of days. With `every_day` (one of the two day fields is a star) a day must be in both, else in either."""

    zone: tzinfo
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    every_day: bool

    def after(self, moment: float) -> float | None:
        return _first(self, int(moment) + 1)

    def first(self, at: int) -> float | None:
        """The first firing at `at` or later."""
        last_year = self._local(at).year + YEARS_AHEAD
        while True:
            local = self._local(at)
            if local.year > last_year:
                return None
            if local.month not in self.months:
                year, month = divmod(local.year * 12 + local.month, 12)
                at = self._midnight(year, month + 1, 1)
            elif not self._is_day(local):
                after = datetime.fromordinal(local.toordinal() + 1)
                at = self._midnight(after.year, after.month, after.day)
            elif local.hour not in self.hours:
                at += 3600 - local.minute * 60 - local.second
            elif local.minute not in self.minutes or local.second:
                at += 60 - local.second
            else:
                return float(at)

    def _is_day(self, local: datetime) -> bool:
        in_month, in_week = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return in_month and in_week if self.every_day else in_month or in_week

    def _local(self, at: int) -> datetime:
        return datetime.fromtimestamp(at, self.zone)

    def _midnight(self, year: int, month: int, day: int) -> int:
        """Where the zone has no midnight that day, the first moment after it."""
        return int(datetime(year, month, day, tzinfo=self.zone).timestamp())


@lru_cache(maxsize=256)  # a look takes dozens of steps, and several looks at the same CronJob take the same ones
def _first(calendar: Calendar, at: int) -> float | None:
    return calendar.first(at)


def _every(text: str) -> Every:
    duration = text.removeprefix("@every ")
    if not _DURATION.match(duration):
        raise ValueError(f"failed to parse duration {text}: time: invalid duration {duration!r}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _TERM.findall(duration))
    return Every(max(int(-seconds if duration.startswith("-") else seconds), 1))


def _field(text: str, low: int, high: int, words: dict[str, int]) -> tuple[frozenset[int], bool]:
    """(its values, whether it is a star)."""
    values: set[int] = set()
    star = False
    for part in text.split(","):
        found, is_star = _part(part, low, high, words)
        values.update(found)
        star = star or is_star
    return frozenset(values), star


def _part(text: str, low: int, high: int, words: dict[str, int]) -> tuple[range, bool]:
    """`*`, `5`, `1-5`, `*/15`, `mon-fri/2`; `5/15` goes on to the end."""
    span, slash, step_text = text.partition("/")
    if "/" in step_text:
        raise ValueError(f"too many slashes: {text}")
    first, dash, last = span.partition("-")
    if "-" in last:
        raise ValueError(f"too many hyphens: {text}")
    star = span in ("*", "?")
    if star:
        start, end = low, high
    else:
        start = _number(first, words)
        end = _number(last, words) if dash else high if slash else start
    step = _number(step_text, {}) if slash else 1
    if start < low:
        raise ValueError(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise ValueError(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return range(start, end + 1, step), star and step == 1


def _number(word: str, words: dict[str, int]) -> int:
    number = words.get(word.lower())
    if number is not None:
        return number
    try:
        return atoi(word)
    except ValueError as error:
        raise ValueError(f"failed to parse int from {word}: {error}") from None
