"""/metrics of the control plane: requests, what is under way, what is stored, queues, under the names dashboards know.

Counting costs a request two dictionary look-ups; a GET answered from memory without a task (`fast.py`) adds one to a number.
Everything else is looked at only when somebody scrapes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from wherry.api import exposition
from wherry.api.exposition import MEDIA_TYPE, Family, Sample
from wherry.apiserver.filters.request_info import RequestInfo
from wherry.apiserver.limits import Limits
from wherry.apiserver.serving import Serving
from wherry.storage.interface import Storage

__all__ = ["MEDIA_TYPE", "Metrics", "Series"]
BUCKETS = (0.001, 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
"""Upper bounds in seconds: Kubernetes' with a finer first one, into which a GET from memory falls."""
SERIES_MAX = 4096
"""Resources come from what is served, codes from us: this many would be custom resources by the hundred. Beyond it, requests
are counted without their resource."""
_VERBS = {"create": "POST", "update": "PUT"}
Collector = Callable[[], Iterable[Family]]


@dataclass(slots=True)
class Series:
    """Requests with the same labels. `instant` are those answered at once: they count into the first bucket."""

    labels: dict[str, str]
    code: str
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0
    instant: int = 0
    unmeasured: int = 0
    """Watches and other streams: how long they lasted says nothing about us."""

    @property
    def total(self) -> int:
        return sum(self.counts) + self.instant + self.unmeasured


class Metrics:
    """`collectors` may grow: whoever is run beside the API server adds what it counts."""

    def __init__(self, storage: Storage, serving: Serving, limits: Limits) -> None:
        self._storage = storage
        self._serving = serving
        self._limits = limits
        self._series: dict[tuple[str, ...], Series] = {}
        self.long_running = 0
        self.in_flight = {"readOnly": 0, "mutating": 0}
        self.collectors: list[Collector] = []

    def series(self, info: RequestInfo, known: bool, code: int) -> Series:
        """The series of a request; `known`: its resource is served."""
        scope = ""
        if known:
            scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
            where = (info.group, info.version, info.resource, info.subresource if code != 404 else "")
        else:
            where = ("", "", "", "")
        if len(self._series) >= SERIES_MAX:
            where = ("", "", "", "")
        key = (info.verb, *where, scope, str(code))
        found = self._series.get(key)
        if found is None:
            verb = _VERBS.get(info.verb) or info.verb.upper()
            names = ("group", "version", "resource", "subresource")
            labels = dict(zip(names, where, strict=True)) | {"component": "apiserver", "dry_run": "", "scope": scope}
            found = self._series[key] = Series(labels | {"verb": verb}, str(code))
        return found

    def measured(self, series: Series, took: float) -> None:
        """One finished request; `took` in seconds."""
        series.counts[bisect_left(BUCKETS, took)] += 1
        series.seconds += took

    def text(self) -> bytes:
        families = [*self._requests(), *self._under_way(), *self._stored(), *self._flows(), *exposition.process()]
        for collector in self.collectors:
            families += collector()
        return exposition.text(families)

    def _requests(self) -> Iterable[Family]:
        total = Family("apiserver_request_total", "counter", "Requests by verb, resource and HTTP code.")
        took = Family("apiserver_request_duration_seconds", "histogram", "Time from request to answer.")
        sums: dict[tuple[str, ...], tuple[dict[str, str], list[int], float]] = {}
        for series in self._series.values():
            total.samples.append(Sample(series.labels | {"code": series.code}, series.total))
            counts = [series.counts[0] + series.instant, *series.counts[1:]]
            if not any(counts):
                continue
            key = tuple(series.labels.values())
            labels, before, seconds = sums.get(key, (series.labels, [0] * len(counts), 0.0))
            sums[key] = (labels, [a + b for a, b in zip(before, counts, strict=True)], seconds + series.seconds)
        for labels, counts, seconds in sums.values():
            took.samples.extend(exposition.histogram(labels, BUCKETS, counts, round(seconds, 6)))
        return (total, took)

    def _under_way(self) -> Iterable[Family]:
        kinds = [Sample({"request_kind": kind}, count) for kind, count in self.in_flight.items()]
        yield Family("apiserver_current_inflight_requests", "gauge", "Requests being worked on.", kinds)
        text = "Watches, logs, proxied answers and upgrades under way."
        yield Family("apiserver_longrunning_requests", "gauge", text, [Sample({}, self.long_running)])

    def _stored(self) -> Iterable[Family]:
        objects = Family("apiserver_storage_objects", "gauge", "Stored objects by resource.")
        seen: set[str] = set()
        for gvr, served in sorted(self._serving.served.items(), key=lambda each: each[0].resource):
            prefix = served.registry.prefix_of("")
            if prefix in seen:
                continue
            seen.add(prefix)
            name = f"{gvr.resource}.{gvr.group}" if gvr.group else gvr.resource
            objects.samples.append(Sample({"resource": name}, len(self._storage.list(prefix))))
        yield objects
        text = "The newest durable revision."
        yield Family("apiserver_storage_revision", "gauge", text, [Sample({}, self._storage.revision)])

    def _flows(self) -> Iterable[Family]:
        prefix = "apiserver_flowcontrol_"
        levels = sorted(self._limits.levels.values(), key=lambda level: level.name)
        rejected = Family(f"{prefix}rejected_requests_total", "counter", "Requests answered with 429.")
        for level in levels:
            for reason, count in sorted(level.rejected.items()):
                rejected.samples.append(Sample({"priority_level": level.name, "reason": reason}, count))
        yield rejected

        for name, kind, text, values in (
            ("dispatched_requests_total", "counter", "Requests that got a seat.", [each.dispatched for each in levels]),
            ("current_executing_requests", "gauge", "Requests that hold a seat.", [each.executing for each in levels]),
            ("current_inqueue_requests", "gauge", "Requests that wait for a seat.", [each.waiting for each in levels]),
            ("nominal_limit_seats", "gauge", "Seats of a level.", [each.seats or 0 for each in levels]),
        ):
            names = [{"priority_level": each.name} for each in levels]
            samples = [Sample(labels, value) for labels, value in zip(names, values, strict=True)]
            yield Family(f"{prefix}{name}", "counter" if kind == "counter" else "gauge", text, samples)
