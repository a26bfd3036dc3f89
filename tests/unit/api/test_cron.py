"""Schedules: what is one, and when it fires, through a year and over changes of the clock."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.api import cron

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def firings(schedule: str, start: str, count: int, zone: str = "UTC") -> list[str]:
    found, moment, parsed = [], at(start), cron.parse(schedule, ZoneInfo(zone))
    for _ in range(count):
        after = parsed.after(moment)
        assert after is not None
        moment = after
        found.append(datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("*/2/3 * * * *", "too many slashes: */2/3"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("@fortnightly", "unrecognized descriptor: @fortnightly"),
        ("@every soon", "failed to parse duration @every soon: time: invalid duration 'soon'"),
        ("  ", "empty spec string"),
    ],
)
def test_what_is_no_schedule(schedule: str, problem: str) -> None:
    with pytest.raises(ValueError) as raised:
        cron.parse(schedule, UTC)
    assert str(raised.value) == problem


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("*/20 * * * *", ["2026-01-01 00:20", "2026-01-01 00:40", "2026-01-01 01:00"]),
        ("0 0 1 * *", ["2026-02-01 00:00", "2026-03-01 00:00", "2026-04-01 00:00"]),
        ("0 12 29 2 *", ["2028-02-29 12:00", "2032-02-29 12:00"]),
        ("30 8 * * mon-fri", ["2026-01-01 08:30", "2026-01-02 08:30", "2026-01-05 08:30"]),
        ("0 0 13 * fri", ["2026-01-02 00:00", "2026-01-09 00:00", "2026-01-13 00:00"]),  # either day
        ("0 0 */13 * fri", ["2026-01-02 00:00", "2026-01-09 00:00", "2026-01-14 00:00"]),  # a step is no star
        ("0 0 ? * sun", ["2026-01-04 00:00", "2026-01-11 00:00"]),
        ("50/5 23 31 dec ?", ["2026-12-31 23:50", "2026-12-31 23:55", "2027-12-31 23:50"]),
        ("@hourly", ["2026-01-01 01:00", "2026-01-01 02:00"]),
        ("@yearly", ["2027-01-01 00:00", "2028-01-01 00:00"]),
        ("@every 1h30m", ["2026-01-01 01:30", "2026-01-01 03:00"]),
    ],
)
def test_when_it_fires(schedule: str, expected: list[str]) -> None:
    assert firings(schedule, "2026-01-01", len(expected)) == expected


def test_a_day_that_never_comes() -> None:
    assert cron.parse("0 0 30 2 *", UTC).after(at("2026-01-01")) is None


def test_a_zone_moves_with_summer_time() -> None:
    """Nine o'clock in Berlin is eight in winter and seven in summer, in UTC."""
    assert firings("0 9 * * *", "2026-03-27 12:00", 3, "Europe/Berlin") == [
        "2026-03-28 08:00", "2026-03-29 07:00", "2026-03-30 07:00",
    ]  # fmt: skip


def test_an_hour_that_is_skipped_and_one_that_comes_twice() -> None:
    assert firings("30 2 * * *", "2026-03-28 00:00", 2, "Europe/Berlin") == ["2026-03-28 01:30", "2026-03-30 00:30"]
    assert firings("30 2 * * *", "2026-10-24 12:00", 3, "Europe/Berlin") == [
        "2026-10-25 00:30", "2026-10-25 01:30", "2026-10-26 01:30",
    ]  # fmt: skip


def test_a_midnight_that_does_not_exist() -> None:
    """Clocks in Santiago went from 23:59 to 01:00 on that day."""
    assert firings("@daily", "2026-09-05 03:00", 3, "America/Santiago") == [
        "2026-09-05 04:00", "2026-09-07 03:00", "2026-09-08 03:00",
    ]  # fmt: skip


def test_a_year_has_its_number_of_firings() -> None:
    parsed, moment, end = cron.parse("0 */6 * * *", BERLIN), at("2025-12-31 22:59"), at("2026-12-31 22:59")
    found = list(itertools.takewhile(lambda one: one <= end, _all_after(parsed, moment)))
    assert len(found) == 365 * 4
    assert len({datetime.fromtimestamp(one, BERLIN).strftime("%m-%d %H:%M") for one in found}) == 365 * 4


def _all_after(parsed: cron.Schedule, moment: float):  # type: ignore[no-untyped-def]
    while (after := parsed.after(moment)) is not None:
        yield (moment := after)


@given(
    st.sampled_from(["*", "*/7", "3", "10-20/3", "0,59"]),
    st.sampled_from(["*", "0", "1-3", "*/5"]),
    st.sampled_from(["*", "1", "31", "*/9"]),
    st.sampled_from(["*", "2", "jan,jul"]),
    st.sampled_from(["*", "0", "mon-wed", "6"]),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York"]),
    st.integers(0, 20 * 366 * 86400),
)
def test_the_next_firing_is_the_first_minute_that_matches(
    minute: str, hour: str, day: str, month: str, weekday: str, zone: str, offset: int
) -> None:
    parsed = cron.parse(f"{minute} {hour} {day} {month} {weekday}", ZoneInfo(zone))
    start = at("2015-01-01") + offset
    found = parsed.after(start)
    if found is None:
        return
    assert found > start
    assert found % 60 == 0
    # Nothing between is one: each minute on the way, as far as is quick, says the found one is next.
    for between in range(int(start), int(found), 60 * 7919):
        assert parsed.after(between) == found
    assert parsed.after(found - 1) == found
