"""Events in the newer form, which the scheduler uses: a moment to the microsecond and what was being done, no counts.

What is said again of the same version of an object is a series: the Event stays as it is and tells how often and when
last. Source: the API of events.k8s.io/v1, and client-go's recorder for it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from random import Random

from msgspec import Struct

from wherry.aio.clock import Clock, rfc3339_micro
from wherry.api.errors import StatusError, is_not_found
from wherry.api.resources import EVENTS
from wherry.api.types import Obj
from wherry.client.event_correlator import REMEMBERED, Occurrence
from wherry.client.events import EventRecorder
from wherry.client.rest import Client

SERIES_SECONDS = 360.0
"""client-go's finishTime: what is said again later is another Event."""
WRITE_SECONDS = 60.0
"""From the third time on a series is written no more often than that; client-go does every half hour."""


class _Series(Struct):
    """`name` is "" until the Event has been created; `written` is when the count was told last."""

    last_time: float
    written: float
    name: str = ""
    count: int = 0


class SeriesRecorder(EventRecorder):
    """Every `event` needs an `action`."""

    def __init__(self, client: Client, component: str, host: str, clock: Clock, rng: Random) -> None:
        super().__init__(client, component, host, clock, rng)
        self._series: OrderedDict[Hashable, _Series] = OrderedDict()

    def _plan(self, occurrence: Occurrence) -> Callable[[], Awaitable[None]] | None:
        known = self._series
        related = tuple(sorted((occurrence.related or {}).items()))
        key = (*occurrence.similarity, occurrence.involved.get("resourceVersion"), occurrence.action, related)
        series = known.pop(key, None)
        if series is None or occurrence.time - series.last_time > SERIES_SECONDS:
            series = _Series(occurrence.time, occurrence.time)
        known[key] = series
        if len(known) > REMEMBERED:
            known.popitem(last=False)
        series.count, series.last_time = series.count + 1, occurrence.time
        if series.count > 2 and occurrence.time - series.written < WRITE_SECONDS:
            return None
        series.written = occurrence.time
        return partial(self._tell, occurrence, series, series.count)

    async def _tell(self, occurrence: Occurrence, series: _Series, count: int) -> None:
        namespace, moment = occurrence.involved.get("namespace") or "default", rfc3339_micro(occurrence.time)
        if series.name:
            patch = {"series": {"count": count, "lastObservedTime": moment}}
            try:
                await self._client.patch(EVENTS, series.name, patch, namespace)
            except StatusError as error:
                if not is_not_found(error):
                    raise
                series.name, series.count = "", 1  # it has expired: begin a new one
            else:
                return
        event: Obj = {
            **self._common(occurrence, namespace),
            "message": occurrence.message,
            "source": {},
            "firstTimestamp": None,
            "lastTimestamp": None,
            "eventTime": moment,
            "reportingInstance": f"{self._component}-{self._host or 'wherry'}",
        }
        await self._client.create(EVENTS, event)
        series.name = event["metadata"]["name"]
