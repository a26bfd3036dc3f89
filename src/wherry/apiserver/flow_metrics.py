"""Priority and fairness on /metrics, under Kubernetes' names. Nothing is counted here: `limits.py` keeps the tallies."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.exposition import Family, Sample
from wherry.api.histogram import Histogram
from wherry.apiserver.limits import WAIT_BUCKETS, Level, Limits, Tally

_PREFIX = "apiserver_flowcontrol_"


def flows(limits: Limits) -> Iterable[Family]:
    levels = sorted(limits.levels.values(), key=lambda level: level.name)
    found = [
        ({"priority_level": level.name, "flow_schema": schema}, tally)
        for level in levels
        for schema, tally in sorted(level.tallies.items())
    ]
    yield from _levels(levels)
    yield from _tallies(found)


def _levels(levels: list[Level]) -> Iterable[Family]:
    for name, text, values in (
        ("nominal_limit_seats", "Seats of a level.", [each.seats or 0 for each in levels]),
        ("current_executing_seats", "Seats of a level that are held.", [each.executing for each in levels]),
    ):
        samples = [Sample({"priority_level": each.name}, value) for each, value in zip(levels, values, strict=True)]
        yield Family(_PREFIX + name, "gauge", text, samples)


def _tallies(found: list[tuple[dict[str, str], Tally]]) -> Iterable[Family]:
    rejected = Family(f"{_PREFIX}rejected_requests_total", "counter", "Requests answered with 429.")
    dispatched = Family(f"{_PREFIX}dispatched_requests_total", "counter", "Requests that got a seat.")
    executing = Family(f"{_PREFIX}current_executing_requests", "gauge", "Requests that hold a seat.")
    waiting = Family(f"{_PREFIX}current_inqueue_requests", "gauge", "Requests that wait for a seat.")
    text = "How long requests waited for a seat; `execute` says whether they got one."
    waited = Family(f"{_PREFIX}request_wait_duration_seconds", "histogram", text)
    text = "How long requests that held a seat took."
    executed = Family(f"{_PREFIX}request_execution_seconds", "histogram", text)
    for labels, tally in found:
        for reason, count in sorted(tally.rejected.items()):
            rejected.samples.append(Sample({**labels, "reason": reason}, count))
        got = _with_first(tally.waited, tally.at_once)
        turned_away = sum(tally.rejected.values()) - tally.rejected.get("time-out", 0)
        dispatched.samples.append(Sample(labels, sum(got.counts)))
        executing.samples.append(Sample(labels, tally.executing))
        waiting.samples.append(Sample(labels, tally.waiting))
        waited.samples.extend(got.samples({**labels, "execute": "true"}))
        waited.samples.extend(_with_first(tally.in_vain, turned_away).samples({**labels, "execute": "false"}))
        executed.samples.extend(tally.executed.samples({**labels, "type": "regular"}))
    return (rejected, dispatched, executing, waiting, waited, executed)


def _with_first(histogram: Histogram, more: int) -> Histogram:
    """The same with so many more that did not wait."""
    whole = Histogram(WAIT_BUCKETS)
    whole.counts = [histogram.counts[0] + more, *histogram.counts[1:]]
    whole.total = histogram.total
    return whole
