"""Says what happened to an object, as an Event that `kubectl describe` shows.

`event()` returns at once and never fails: Events are best effort. `run()` writes them one after another, in order.
What cannot be written is tried again only where there was no answer; what the server refuses (the namespace is going)
is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Literal, TypeAlias

from wherry.aio.backoff import Backoff
from wherry.aio.clock import Clock, rfc3339
from wherry.api.errors import StatusError, is_not_found, namespace_is_ending
from wherry.api.resources import EVENTS
from wherry.api.types import Obj
from wherry.client.event_correlator import EventCorrelator, Occurrence, Written
from wherry.client.rest import Client

log = logging.getLogger(__name__)

EventType: TypeAlias = Literal["Normal", "Warning"]

# As client-go: when the server is away for long, the newest are dropped, the story's beginning stays.
QUEUED_MAX = 1000
# A server that is away longer than this many tries (about half a minute) misses the Event.
TRIES_MAX = 16
# The API refuses longer ones.
MESSAGE_BYTES_MAX = 1024


class EventRecorder:
    """Events of one component on one host."""

    def __init__(self, client: Client, component: str, host: str, clock: Clock, rng: Random) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._clock = clock
        self._rng = rng
        self._backoff = Backoff(rng)
        self._correlator = EventCorrelator()
        self._queue: deque[Occurrence] = deque()
        self._arrived = asyncio.Event()
        self._last_stamp = 0
        self.dropped = 0
        """Events not written: too many, or no server for too long; for statistics."""

    def event(
        self,
        obj: Obj,
        type: EventType,
        reason: str,
        message: str,
        *,
        field_path: str = "",
        action: str = "",
        related: Obj | None = None,
    ) -> None:
        """`obj` needs kind, apiVersion and metadata; `field_path` names a part of it (`spec.containers{cart}`). `action`
        says what was being done, `related` for whom."""
        if len(self._queue) >= QUEUED_MAX:
            self.dropped += 1
            return
        message = message.encode()[:MESSAGE_BYTES_MAX].decode(errors="ignore")
        about, whom = _reference(obj, field_path), _reference(related, "") if related is not None else None
        self._queue.append(Occurrence(about, type, reason, message, self._clock.time(), action, whom))
        self._arrived.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue:
                await self._record(self._queue.popleft())

    async def _record(self, occurrence: Occurrence) -> None:
        write = self._plan(occurrence)
        if write is None:
            self.dropped += 1
            return
        for _ in range(TRIES_MAX):
            try:
                await write()
            except StatusError as error:
                level = logging.DEBUG if namespace_is_ending(error) else logging.INFO
                log.log(level, "event %s not written: %s", occurrence.reason, error)
                self.dropped += 1
            except ConnectionError:
                await self._clock.sleep(self._backoff.next())
                continue
            self._backoff.reset()
            return
        self.dropped += 1

    def _plan(self, occurrence: Occurrence) -> Callable[[], Awaitable[None]] | None:
        """How to tell it, however often that has to be tried; None if it is not told."""
        correlated = self._correlator.correlate(occurrence)
        return partial(self._write, occurrence, *correlated) if correlated is not None else None

    async def _write(self, occurrence: Occurrence, written: Written, message: str) -> None:
        namespace = occurrence.involved.get("namespace") or "default"
        if written.name:
            patch = {"count": written.count, "lastTimestamp": rfc3339(occurrence.time), "message": message}
            try:
                await self._client.patch(EVENTS, written.name, patch, namespace)
            except StatusError as error:
                if not is_not_found(error):
                    raise
                written.name = ""  # it has expired: begin a new one
                written.count = 1
                written.first_time = occurrence.time
            else:
                return
        event = self._new_event(occurrence, written, message, namespace)
        await self._client.create(EVENTS, event)
        written.name = event["metadata"]["name"]

    def _new_event(self, occurrence: Occurrence, written: Written, message: str, namespace: str) -> Obj:
        return {
            **self._common(occurrence, namespace),
            "message": message,
            "source": {"component": self._component, **({"host": self._host} if self._host else {})},
            "firstTimestamp": rfc3339(written.first_time),
            "lastTimestamp": rfc3339(occurrence.time),
            "count": written.count,
            "eventTime": None,
            "reportingInstance": self._host,
        }

    def _common(self, occurrence: Occurrence, namespace: str) -> Obj:
        """What Events of both forms say; they are named after the time in nanoseconds, as client-go does."""
        # The chance in it keeps two components apart that speak of one object in the same instant, which virtual time
        # makes likely.
        self._last_stamp = max(int(occurrence.time * 1e9) + self._rng.getrandbits(16), self._last_stamp + 1)
        more = {"action": occurrence.action, "related": occurrence.related}
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{occurrence.involved['name']}.{self._last_stamp:x}", "namespace": namespace},
            "involvedObject": occurrence.involved,
            "type": occurrence.type,
            "reason": occurrence.reason,
            "reportingComponent": self._component,
            **{key: value for key, value in more.items() if value},
        }


def _reference(obj: Obj, field_path: str) -> Obj:
    """core/v1 ObjectReference of an object."""
    metadata = obj["metadata"]
    reference = {
        "kind": obj["kind"],
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
        "apiVersion": obj["apiVersion"],
        "resourceVersion": metadata.get("resourceVersion", ""),
        "fieldPath": field_path,
    }
    return {key: value for key, value in reference.items() if value}
