"""WATCH: every change under a prefix, in order, none missing, as one stream of events.

Theory: storage hands over changes; a selection turns each into ADDED, MODIFIED, DELETED or nothing (an object that stops
matching is DELETED for this watcher). Each event is encoded once per representation, however many watch. A watcher that
asks for too old a revision, or is too slow, gets an ERROR event with a 410 Status and lists again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from msgspec import Struct

from wherry.api import json
from wherry.api.errors import StatusError, expired, not_acceptable
from wherry.api.types import Obj
from wherry.apiserver import negotiation, protobuf_encode, websocket
from wherry.apiserver.core import Call, Core
from wherry.apiserver.handlers.get import version_too_large
from wherry.apiserver.http import Answer, Stream
from wherry.apiserver.negotiation import PARTIAL, PARTIAL_LIST, TABLE
from wherry.apiserver.options import ListOptions, list_options
from wherry.apiserver.respond import partial, table
from wherry.apiserver.selection import Selection, select
from wherry.storage.errors import Compacted, FutureRevision, Overrun
from wherry.storage.interface import Change, Watch

BOOKMARK_SECONDS = 60
"""How often an idle watcher that wants bookmarks learns the newest revision (kube-apiserver: about a minute)."""
TIMEOUT_SECONDS_MIN = 1800
"""Without timeoutSeconds a watch ends after this to twice this, so that clients do not come back all at once."""


async def handle(core: Core, call: Call) -> Answer:
    options = list_options(call.request.query, watch=True)
    if call.representation.media == negotiation.PROTOBUF and websocket.is_asked_for(call.request.headers):
        call.representation = negotiation.PLAIN  # whose frames are texts
    if call.representation.media == negotiation.YAML:
        raise not_acceptable(negotiation.ACCEPTED)
    wanted, current = options.resource_version or 0, core.storage.revision
    if options.send_initial_events and wanted > current:
        raise version_too_large(wanted, current)
    selection = select(options, call.registry.strategy, call.resource, call.info.name)
    items = _stream(core, call, options, selection)
    if not call.in_process and websocket.is_asked_for(call.request.headers):
        return websocket.stream(call.request, items)
    if call.representation.media == negotiation.PROTOBUF:
        return Stream(items, content_type=negotiation.STREAMS[1])
    return Stream(items)


class Event(Struct, frozen=True):
    """What one watcher is told: type, the stored object and, where it is stored as such, its encoding."""

    type: str
    value: Obj
    data: bytes | None
    revision: int


async def _stream(core: Core, call: Call, options: ListOptions, selection: Selection) -> AsyncGenerator[Any, None]:
    encoder = _Encoder(core, call)
    codec = call.served.codec
    prefix = call.registry.prefix_of(call.info.namespace)
    storage = core.storage
    initial = options.send_initial_events
    if initial is None:
        initial = not options.resource_version
    after = storage.revision if initial else options.resource_version or storage.revision
    try:
        watch = storage.watch(prefix, after)
    except (Compacted, FutureRevision):
        # A revision from another life of this server is as useless as a forgotten one: both mean "list again".
        yield encoder.error(_too_old(after, storage.compacted))
        return
    if codec is not None:
        codec.opened(watch)
    try:
        if initial:
            entries = storage.list(prefix)
            for entry in entries if codec is None else await codec.entries(entries):
                if selection.matches(entry.value):
                    yield encoder.event(Event("ADDED", entry.value, entry.data, entry.revision))
            if options.send_initial_events and options.bookmarks:
                yield encoder.bookmark(after, initial=True)
        async for item in _follow(core, call, watch, options, selection, encoder):
            yield item
    finally:
        watch.close()
        if codec is not None:
            codec.closed(watch)


async def _follow(
    core: Core, call: Call, watch: Watch, options: ListOptions, selection: Selection, encoder: _Encoder
) -> AsyncIterator[Any]:
    """Changes until the deadline, bookmarks in between; neither within this process, where no connection ends or is to be
    resumed and nobody need wake up for nothing."""
    loop_time = asyncio.get_running_loop().time
    forever = call.in_process and options.timeout_seconds is None
    seconds = 0.0 if forever else options.timeout_seconds or TIMEOUT_SECONDS_MIN * (1 + core.rng.random())
    deadline = loop_time() + seconds
    # Whoever came back with everybody else after a restart gets bookmarks at times of its own.
    first = BOOKMARK_SECONDS if call.in_process else BOOKMARK_SECONDS * (1 + core.rng.random()) / 2
    bookmark_at = loop_time() + first if options.bookmarks else deadline
    changes = aiter(watch)
    while True:
        try:
            async with asyncio.timeout_at(None if forever else min(deadline, bookmark_at)):
                change = await anext(changes)
        except TimeoutError:
            if options.bookmarks:
                revision = core.storage.revision
                async for item in _drain(call, changes, selection, encoder):
                    yield item
                yield encoder.bookmark(revision)
            if loop_time() >= deadline:
                return
            bookmark_at = loop_time() + BOOKMARK_SECONDS
        except StopAsyncIteration:
            return
        except Overrun:
            yield encoder.error(_too_old(0, core.storage.compacted))
            return
        else:
            if call.served.codec is not None:
                change = await call.served.codec.change(change)
            event = transition(change, selection)
            if event is not None:
                yield encoder.event(event)


async def _drain(
    call: Call, changes: AsyncIterator[Change], selection: Selection, encoder: _Encoder
) -> AsyncIterator[Any]:
    """What is ready without waiting: a bookmark must not overtake it."""
    while True:
        try:
            async with asyncio.timeout(0):
                change = await anext(changes)
        except (TimeoutError, StopAsyncIteration, Overrun):
            return
        if call.served.codec is not None:
            change = await call.served.codec.change(change)
        event = transition(change, selection)
        if event is not None:
            yield encoder.event(event)


def transition(change: Change, selection: Selection) -> Event | None:
    """What a change means to someone who sees only matching objects."""
    entry, previous = change.entry, change.previous
    if selection.everything:
        return Event(change.type, entry.value, entry.data, entry.revision)
    now = change.type != "DELETED" and selection.matches(entry.value)
    before = previous is not None and selection.matches(previous.value)
    if now:
        return Event("MODIFIED" if before else "ADDED", entry.value, entry.data, entry.revision)
    if not before:
        return None
    if change.type == "DELETED":
        return Event("DELETED", entry.value, entry.data, entry.revision)
    assert previous is not None
    # It stopped matching: its last matching state, at the revision at which that ended.
    last = previous.value
    value = {**last, "metadata": {**last["metadata"], "resourceVersion": str(entry.revision)}}
    return Event("DELETED", value, None, entry.revision)


def _too_old(wanted: int, compacted: int) -> StatusError:
    return expired(f"too old resource version: {wanted} ({compacted})")


class _Encoder:
    """One watcher's way of writing events: objects in process, JSON frames on the wire."""

    def __init__(self, core: Core, call: Call) -> None:
        self._core = core
        self._call = call
        self._first = True
        self._key = (call.resource.gvr, call.representation, call.request.query.get("includeObject", ""))

    def event(self, event: Event) -> Any:
        call, served = self._call, self._call.served
        if call.in_process:
            return {"type": event.type, "object": served.show(event.value)}
        stored = served.outward is None and served.codec is None
        if call.representation.plain and stored and event.data is not None:
            key: tuple[Any, ...] = (event.revision, event.type)
        else:
            key = (event.revision, event.type, self._key, self._first)
        if event.data is None:
            key = (*key, event.value["metadata"]["uid"])
        frame = self._core.frames.get(key)
        if frame is None:
            frame = self._encode(event)
            self._core.frames.put(key, frame)
        self._first = False
        return frame

    def _encode(self, event: Event) -> bytes:
        call, wanted = self._call, self._call.representation
        data = event.data
        value = event.value
        if call.served.outward is not None or data is None or wanted.as_kind:
            value = call.served.show(value)
            if wanted.as_kind in (PARTIAL, PARTIAL_LIST):
                value = partial(value, wanted)
            elif wanted.as_kind == TABLE:
                version = {"resourceVersion": value["metadata"]["resourceVersion"]}
                value = table(self._core, call, [value], version, columns=self._first)
            data = b"" if wanted.media == negotiation.PROTOBUF else json.encode(value)
        if wanted.media == negotiation.PROTOBUF:
            return protobuf_encode.frame(event.type, value)
        return b'{"type":"' + event.type.encode() + b'","object":' + data + b"}\n"

    def bookmark(self, revision: int, initial: bool = False) -> Any:
        resource = self._call.resource
        metadata: Obj = {"resourceVersion": str(revision)}
        if initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj: Obj = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self._call.representation.as_kind in (PARTIAL, PARTIAL_LIST):
            obj = partial(obj, self._call.representation)
        elif self._call.representation.as_kind == TABLE:
            row = {"cells": [], "object": partial(obj, self._call.representation)}
            obj = {**table(self._core, self._call, [], metadata, columns=self._first), "rows": [row]}
        return self._plain("BOOKMARK", obj)

    def error(self, error: StatusError) -> Any:
        return self._plain("ERROR", error.to_status())

    def _plain(self, kind: str, obj: Obj) -> Any:
        if self._call.representation.media == negotiation.PROTOBUF:
            return protobuf_encode.frame(kind, obj)
        event = {"type": kind, "object": obj}
        return event if self._call.in_process else json.encode(event) + b"\n"
