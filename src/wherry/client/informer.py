"""A local copy of one resource that keeps itself up to date and tells handlers what changed.

One reflector, many handlers: share informers through `InformerFactory`. Handlers are plain functions called in the
order of the changes; they must be quick (put a key on a work queue). Objects are shared and must not be changed.
An object that came and went between two lists is never seen; one that was replaced is seen as modified.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Literal, TypeAlias

from wherry.aio.clock import Clock
from wherry.api.types import GVR, Obj
from wherry.client.indexer import Indexer, IndexFunction, LabelMatcher, key_of
from wherry.client.reflector import Reflector
from wherry.client.rest import Client

ChangeType: TypeAlias = Literal["added", "modified", "deleted"]
Handler: TypeAlias = Callable[[ChangeType, Obj, Obj | None], None]
"""handler(type, obj, old): `old` is the state before for "modified", None else; for "deleted" obj is the last state."""


class Informer:
    """The copy; current after `wait_synced()` as long as `run()` runs."""

    def __init__(
        self,
        client: Client,
        gvr: GVR,
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        clock: Clock,
        rng: Random,
    ) -> None:
        self.gvr = gvr
        self._indexer = Indexer()
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self._reflector = Reflector(
            client, gvr, _Delivery(self), namespace=namespace, labels=labels, fields=fields, clock=clock, rng=rng
        )

    async def run(self) -> None:
        """List, watch and tell, until cancelled."""
        await self._reflector.run()

    async def wait_synced(self) -> None:
        """Return once everything of the first list is here and its handlers have been called."""
        await self._synced.wait()

    def is_synced(self) -> bool:
        return self._synced.is_set()

    @property
    def resource_version(self) -> str:
        """How far the copy has come; "" before the first list."""
        return self._reflector.resource_version

    def get(self, name: str, namespace: str | None = None) -> Obj | None:
        return self._indexer.get(name, namespace)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """`function(obj)` gives the values under which `by_index(name, value)` finds the object."""
        self._indexer.add_index(name, function)

    def by_index(self, name: str, value: str) -> list[Obj]:
        return self._indexer.by_index(name, value)

    def add_handler(self, handler: Handler) -> None:
        """Called from now on; at once with "added" for what is already here."""
        self._handlers.append(handler)
        for obj in list(self._indexer):
            handler("added", obj, None)

    def list(self, namespace: str | None = None, selector: LabelMatcher | None = None) -> list[Obj]:
        return self._indexer.select(namespace, selector)

    def count(self, namespace: str) -> int:
        """How many objects the namespace has."""
        return self._indexer.count(namespace)

    def _tell(self, change: ChangeType, obj: Obj, old: Obj | None) -> None:
        for handler in self._handlers:
            handler(change, obj, old)


class _Delivery:
    """The reflector's sink: the copy is changed first, then the handlers are told."""

    def __init__(self, informer: Informer) -> None:
        self._informer = informer
        self._indexer = informer._indexer

    def replace(self, objects: list[Obj]) -> None:
        here = {key_of(obj) for obj in objects}
        for gone in [obj for obj in self._indexer if key_of(obj) not in here]:
            self.remove(gone)
        for obj in objects:
            self.put(obj)
        self._informer._synced.set()

    def put(self, obj: Obj) -> None:
        old = self._indexer.put(obj)
        if old is None:
            self._informer._tell("added", obj, None)
        elif old["metadata"].get("resourceVersion") != obj["metadata"].get("resourceVersion"):
            self._informer._tell("modified", obj, old)

    def remove(self, obj: Obj) -> None:
        if self._indexer.remove(key_of(obj)) is not None:
            self._informer._tell("deleted", obj, None)


class InformerFactory:
    """Hands out shared informers and runs them."""

    def __init__(self, client: Client, clock: Clock, rng: Random) -> None:
        self._client = client
        self._clock = clock
        self._rng = rng
        self._informers: dict[tuple[GVR, str | None, str, str], Informer] = {}
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[Informer, asyncio.Task[None]] = {}

    def informer(self, gvr: GVR, *, namespace: str | None = None, labels: str = "", fields: str = "") -> Informer:
        """The informer of exactly this selection; made, and started if the factory runs, when nobody asked before."""
        key = (gvr, namespace, labels, fields)
        found = self._informers.get(key)
        if found is None:
            # Each has its own chance, drawn in the order of asking: how often one retries does not move the others.
            rng = Random(self._rng.getrandbits(64))
            found = self._informers[key] = Informer(
                self._client, gvr, namespace=namespace, labels=labels, fields=fields, clock=self._clock, rng=rng
            )
            if self._group is not None:
                self._start(found)
        return found

    def drop(self, gvr: GVR) -> None:
        """Stop and forget every informer of a resource that is no longer served; their handlers are told nothing."""
        for key in [key for key in self._informers if key[0] == gvr]:
            task = self._tasks.pop(self._informers.pop(key), None)
            if task is not None:
                task.cancel()

    async def run(self) -> None:
        """Run every informer, also those asked for later, until cancelled."""
        assert self._group is None, "a factory runs once"
        async with asyncio.TaskGroup() as self._group:
            for informer in list(self._informers.values()):
                self._start(informer)
            await asyncio.Event().wait()

    async def wait_synced(self) -> None:
        """Return once every informer asked for so far is synced."""
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    def _start(self, informer: Informer) -> None:
        assert self._group is not None
        self._tasks[informer] = self._group.create_task(informer.run(), name=f"informer {informer.gvr.qualified}")
