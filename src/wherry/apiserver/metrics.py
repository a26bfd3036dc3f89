"""/metrics of the control plane: requests, what is under way, what is stored, under the names dashboards know.

Counting costs a request two dictionary look-ups; a GET answered from memory without a task (`fast.py`) adds one to a number.
Everything else is looked at only when somebody scrapes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable

from msgspec import Struct, field

from wherry.api import exposition
from wherry.api.exposition import MEDIA_TYPE, Family, Sample
from wherry.apiserver.filters.request_info import RequestInfo
from wherry.apiserver.flow_metrics import flows
from wherry.apiserver.http import Request
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
_CONNECTS = frozenset({"attach", "exec", "portforward", "proxy"})
_PATHS = frozenset(
    {"/", "/api", "/apis", "/healthz", "/livez", "/readyz", "/metrics", "/openapi/v2", "/openapi/v3", "/version"}
)
"""Those of no resource that are told apart; the others could be anything."""
_APPLY = "application/apply-patch+"
_API_SERVICES = "/registry/apiregistration.k8s.io/apiservices/"
_NOT_LASTING = frozenset({"code", "dry_run"})
Collector = Callable[[], Iterable[Family]]


class Series(Struct):
    """Requests with the same labels. `instant` are those answered at once: they count into the first bucket."""

    labels: dict[str, str]
    code: str
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0
    moved: Counter[int] = field(default_factory=Counter)
    """What to add to `counts` when time spent waiting for others is left out, by bucket."""
    elsewhere: float = 0.0
    """Seconds of that."""
    instant: int = 0
    unmeasured: int = 0
    """Watches and other streams: how long they lasted says nothing about us."""
    lasting: int = 0
    """Of those, how many are under way."""

    @property
    def total(self) -> int:
        return sum(self.counts) + self.instant + self.unmeasured


class Metrics:
    """`collectors` may grow: whoever is run beside the API server adds what it counts."""

    def __init__(self, storage: Storage, serving: Serving, limits: Limits) -> None:
        self._storage = storage
        self._serving = serving
        self._limits = limits
        self._series: dict[tuple[object, ...], Series] = {}
        self.in_flight = {"readOnly": 0, "mutating": 0}
        self.collectors: list[Collector] = []

    @property
    def long_running(self) -> int:
        """Watches, logs, proxied answers and upgrades under way."""
        return sum(series.lasting for series in self._series.values())

    def series(self, request: Request, info: RequestInfo, known: bool, code: int) -> Series:
        """The series of a request; `known`: its resource is served."""
        scope = ""
        verb, dry_run = info.verb, bool(request.query) and request.query.get("dryRun") == "All"
        if known:
            scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
            where = (info.group, info.version, info.resource, info.subresource if code != 404 else "")
            if verb == "patch" and request.headers.get("content-type", "").startswith(_APPLY):
                verb = "apply"
            elif info.subresource in _CONNECTS:
                verb = "connect"
        else:
            where = ("", "", "", info.path if info.path in _PATHS else "")
        if len(self._series) >= SERIES_MAX:
            where = ("", "", "", "")
        key = (verb, *where, scope, code, dry_run)
        found = self._series.get(key)
        if found is None:
            names = ("group", "version", "resource", "subresource")
            labels = dict(zip(names, where, strict=True)) | {"component": "apiserver", "scope": scope}
            labels |= {"dry_run": "All" if dry_run else "", "verb": _VERBS.get(verb) or verb.upper()}
            found = self._series[key] = Series(labels, str(code))
        return found

    def measured(self, series: Series, request: Request, took: float) -> None:
        """One finished request; `took` in seconds."""
        bucket = bisect_left(BUCKETS, took)
        series.counts[bucket] += 1
        series.seconds += took
        if request.elsewhere:
            series.elsewhere += request.elsewhere
            series.moved[bucket] -= 1
            series.moved[bisect_left(BUCKETS, took - request.elsewhere)] += 1
        if request.flow is not None:
            request.flow.tally.executed.observe(took - request.elsewhere)

    def text(self) -> bytes:
        families = [*self._requests(), *self._under_way(), *self._stored(), *flows(self._limits), *exposition.process()]
        for collector in self.collectors:
            families += collector()
        return exposition.text(families)

    def _requests(self) -> Iterable[Family]:
        total = Family("apiserver_request_total", "counter", "Requests by verb, resource and HTTP code.")
        took = Family("apiserver_request_duration_seconds", "histogram", "Time from request to answer.")
        text = "The same without what was spent waiting for a turn and for webhooks."
        own = Family("apiserver_request_sli_duration_seconds", "histogram", text)
        sums: dict[tuple[str, ...], Series] = {}
        for series in self._series.values():
            total.samples.append(Sample(series.labels | {"code": series.code}, series.total))
            counts = [series.counts[0] + series.instant, *series.counts[1:]]
            if any(counts):
                known = sums.setdefault(tuple(series.labels.values()), Series(series.labels, ""))
                known.counts = [a + b for a, b in zip(known.counts, counts, strict=True)]
                known.seconds += series.seconds
                known.elsewhere += series.elsewhere
                known.moved.update(series.moved)
        for series in sums.values():
            took.samples.extend(exposition.histogram(series.labels, BUCKETS, series.counts, round(series.seconds, 6)))
            counts = [count + series.moved[bucket] for bucket, count in enumerate(series.counts)]
            seconds = round(series.seconds - series.elsewhere, 6)
            own.samples.extend(exposition.histogram(series.labels, BUCKETS, counts, seconds))
        return (total, took, own)

    def _under_way(self) -> Iterable[Family]:
        kinds = [Sample({"request_kind": kind}, count) for kind, count in self.in_flight.items()]
        yield Family("apiserver_current_inflight_requests", "gauge", "Requests being worked on.", kinds)
        lasting: Counter[tuple[tuple[str, str], ...]] = Counter()
        for series in self._series.values():
            if series.unmeasured:
                lasting[tuple(pair for pair in series.labels.items() if pair[0] not in _NOT_LASTING)] += series.lasting
        text = "Watches, logs, proxied answers and upgrades under way."
        samples = [Sample(dict(labels), count) for labels, count in lasting.items()]
        yield Family("apiserver_longrunning_requests", "gauge", text, samples)

    def _stored(self) -> Iterable[Family]:
        objects = Family("apiserver_storage_objects", "gauge", "Stored objects by resource.")
        grouped = Family("apiserver_resource_objects", "gauge", "Stored objects by group and resource.")
        seen: set[str] = set()
        for gvr, served in sorted(self._serving.served.items(), key=lambda each: each[0].resource):
            prefix = served.registry.prefix_of("")
            if prefix in seen:
                continue
            seen.add(prefix)
            name = f"{gvr.resource}.{gvr.group}" if gvr.group else gvr.resource
            count = len(self._storage.list(prefix))
            objects.samples.append(Sample({"resource": name}, count))
            grouped.samples.append(Sample({"group": gvr.group, "resource": gvr.resource}, count))
        yield from (objects, grouped)
        text = "The newest durable revision."
        yield Family("apiserver_storage_revision", "gauge", text, [Sample({}, self._storage.revision)])
        unavailable = Family("aggregator_unavailable_apiservice", "gauge", "1 of an API that others serve and cannot.")
        for entry in self._storage.list(_API_SERVICES):
            conditions = (entry.value.get("status") or {}).get("conditions") or []
            down = any(each.get("type") == "Available" and each.get("status") == "False" for each in conditions)
            unavailable.samples.append(Sample({"name": entry.value["metadata"]["name"]}, int(down)))
        yield unavailable
