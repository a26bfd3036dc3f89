"""Which firing of a CronJob's schedule is due, how many were missed, and when the next one comes. Pure."""

from __future__ import annotations

from datetime import UTC, tzinfo

from msgspec import Struct

from wherry.aio.clock import parse_rfc3339
from wherry.api.cron import Schedule
from wherry.api.types import Obj
from wherry.reconcile.pods import created_at

MISSED_MAX = 100
"""Kubernetes warns of more: a clock that jumped, or a system that was off, not a slow one."""


class Due(Struct, frozen=True):
    """`moment`: the latest firing that has no Job yet, None if there is none; `missed` of them since the last Job."""

    moment: float | None
    missed: int


def zone_of(cronjob: Obj) -> tzinfo:
    """The clock the schedule is read on; UTC unless the spec names one. Raises ValueError, KeyError or OSError."""
    name = cronjob["spec"].get("timeZone")
    if not name:
        return UTC
    from zoneinfo import ZoneInfo  # few name a zone

    return ZoneInfo(name)


def due(cronjob: Obj, schedule: Schedule, now: float) -> Due:
    """Firings are looked for since the last Job, or the CronJob's creation, but not before the starting deadline."""
    earliest = created_at(cronjob)
    last = cronjob.get("status", {}).get("lastScheduleTime")
    if last:
        earliest = parse_rfc3339(last)
    deadline = cronjob["spec"].get("startingDeadlineSeconds")
    if deadline is not None:
        earliest = max(earliest, now - deadline)
    first = schedule.after(earliest)
    if first is None or first > now:
        return Due(None, 0)
    second = schedule.after(first)
    if second is None or second > now:
        return Due(first, 1)
    missed = int((now - first) // (second - first)) + 1
    return Due(_latest(schedule, first, second - first, now), missed)


def _latest(schedule: Schedule, first: float, gap: float, now: float) -> float:
    """The last firing up to `now`, looked for in a window that grows backwards: a schedule may pause for months."""
    window = gap
    while now - window > first:
        found: float | None = None
        moment = schedule.after(now - window)
        while moment is not None and moment <= now:
            found, moment = moment, schedule.after(moment)
        if found is not None:
            return found
        window *= 2
    found, moment = first, schedule.after(first)
    while moment is not None and moment <= now:
        found, moment = moment, schedule.after(moment)
    return found
