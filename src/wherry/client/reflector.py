"""Keeps a sink in step with the server: list, watch from there, resume when the stream ends, list again when it must.

    list ──► watch ──► stream ended, connection lost, 429, 5xx ──► watch again from the last resourceVersion
      ▲                └─ 410, ERROR event, nonsense ─┐
      └───────────────────────────────────────────────┘

Bookmarks move the last resourceVersion on, so that a quiet watch resumes too. Every retry waits a jittered, bounded
time: at most three seconds, since the server is on this machine and comes back within one.
"""

from __future__ import annotations

import logging
from random import Random
from typing import Protocol

from wherry.aio.backoff import Backoff
from wherry.aio.clock import Clock
from wherry.api.errors import StatusError
from wherry.api.types import GVR, Obj
from wherry.client.rest import Client

log = logging.getLogger(__name__)

# A stream that ends sooner than this without any event is a failure too, else a server that closes at once is hammered.
SHORT_WATCH_SECONDS = 1.0
# The server may well know the revision, it is only not willing now.
BUSY_CODES = frozenset({429, 500, 502, 503})


class Sink(Protocol):
    """Where the objects go; plain calls that do not fail."""

    def replace(self, objects: list[Obj]) -> None:
        """These are all objects there are."""
        ...

    def put(self, obj: Obj) -> None: ...

    def remove(self, obj: Obj) -> None: ...


class _RelistError(Exception):
    """What was missed cannot be known."""


class Reflector:
    """One list and watch of one resource, restricted by namespace and selectors."""

    def __init__(
        self,
        client: Client,
        gvr: GVR,
        sink: Sink,
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        clock: Clock,
        rng: Random,
    ) -> None:
        self._client = client
        self._gvr = gvr
        self._sink = sink
        self._namespace = namespace
        self._labels = labels
        self._fields = fields
        self._clock = clock
        self._backoff = Backoff(rng)
        self._kind = ""
        self.resource_version = ""
        self.lists = 0
        """How often everything was listed; for statistics."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._list()
                while True:
                    await self._watch()
            except _RelistError as why:
                log.info("listing %s again: %s", self._gvr.qualified, why)
                await self._pause()

    async def _list(self) -> None:
        while True:
            try:
                answer = await self._client.list(self._gvr, self._namespace, labels=self._labels, fields=self._fields)
                break
            except (StatusError, ConnectionError) as error:
                log.warning("cannot list %s: %s", self._gvr.qualified, error)
                await self._pause()
        self._kind = answer["kind"].removesuffix("List")
        self._sink.replace([self._typed(item) for item in answer.get("items") or ()])
        self.resource_version = answer["metadata"]["resourceVersion"]
        self.lists += 1

    async def _watch(self) -> None:
        started = self._clock.monotonic()
        failed = False
        events = 0
        try:
            async with self._client.watch(
                self._gvr,
                self._namespace,
                resource_version=self.resource_version,
                labels=self._labels,
                fields=self._fields,
            ) as stream:
                async for event in stream:
                    self._take(event)
                    events += 1
        except (ConnectionError, StatusError) as error:
            if isinstance(error, StatusError) and error.code not in BUSY_CODES:
                raise _RelistError(str(error)) from error
            log.info("watch of %s lost: %s", self._gvr.qualified, error)
            failed = True
        healthy = events > 0 or self._clock.monotonic() - started >= SHORT_WATCH_SECONDS
        if healthy:
            self._backoff.reset()
        if failed or not healthy:
            await self._pause()

    def _take(self, event: Obj) -> None:
        kind = event["type"]
        obj = event["object"]
        if kind == "ERROR":
            raise _RelistError(obj.get("message") or "the server ended the watch with an error")
        if kind in ("ADDED", "MODIFIED"):
            self._sink.put(self._typed(obj))
        elif kind == "DELETED":
            self._sink.remove(self._typed(obj))
        elif kind != "BOOKMARK":
            raise _RelistError(f"unknown watch event type {kind!r}")
        self.resource_version = obj["metadata"]["resourceVersion"]

    def _typed(self, obj: Obj) -> Obj:
        """Items of a list may lack what the list says once: kind and apiVersion."""
        if "kind" in obj and "apiVersion" in obj:
            return obj
        return {"kind": self._kind, "apiVersion": self._gvr.api_version, **obj}

    async def _pause(self) -> None:
        await self._clock.sleep(self._backoff.next())
