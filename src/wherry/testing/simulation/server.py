"""The API server of a simulation: over a disk, as often as it crashes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeVar

from wherry.aio.clock import Clock
from wherry.api.resources import SERVICES
from wherry.api.scheme import Scheme
from wherry.apiserver.app import App
from wherry.apiserver.app import Options as ServerOptions
from wherry.apiserver.bootstrap.ensure import ensure
from wherry.apiserver.bootstrap.objects import BootstrapOptions, bootstrap_objects
from wherry.apiserver.registry.allocation import service_allocators
from wherry.cluster.composition import client_as
from wherry.storage.sqlite import COMPACT_EVERY_REVISIONS
from wherry.testing.simulation.disk import Disk
from wherry.testing.simulation.disk_storage import AUTHOR, DiskStorage
from wherry.testing.simulation.process import Process

T = TypeVar("T")


class Server:
    """Between `start` and `crash` it answers, outside of that it refuses connections."""

    def __init__(
        self,
        disk: Disk,
        clock: Clock,
        seed: int,
        first: BootstrapOptions,
        token_key: bytes,
        failed: Callable[[str], None],
        storage: Callable[..., DiskStorage] = DiskStorage,
        window: int = 4096,
    ) -> None:
        self.disk = disk
        self.scheme: Scheme = first.scheme
        self._clock = clock
        self._seed = seed
        self.first = first
        self._token_key = token_key
        self._failed = failed
        self._storage = storage
        self._window = window
        self._starts = 0
        self._store: DiskStorage | None = None
        self._process: Process | None = None
        self.app: App | None = None
        self.authors: dict[int, Any] = {}
        """Revision -> whatever `carry` was told of the request that made it."""

    async def start(self) -> None:
        self._starts += 1
        rng = random.Random(f"{self._seed}/server/{self._starts}")
        store = self._store = self._storage(
            self.disk,
            window_changes=self._window,
            compact_every_revisions=min(self._window // 8, COMPACT_EVERY_REVISIONS),
        )
        store.authors = self.authors
        await store.start()
        allocators: dict[str, Any] = {}
        options = ServerOptions(self._token_key, allocators=allocators)
        app = App(self.scheme, store, self._clock, rng, options)
        app.extensions.load()
        reader = app.core.reader
        allocators.update(service_allocators(reader.list(SERVICES), rng, self.first.service_cidr, reader=reader))
        process = self._process = Process("api server", self._failed)
        if self._starts > 1:
            objects = bootstrap_objects(self.first)
            await process.spawn(ensure(client_as(app, "kube-apiserver"), self.scheme, objects))
        process.run(app.run(), "run")
        self.app = app

    async def crash(self) -> None:
        """Every request that is open ends without an answer."""
        self.app = None
        store, process = self._store, self._process
        self._store = self._process = None
        if store is not None:
            store.crash()
        if process is not None:
            await process.crash()

    async def carry(self, work: Coroutine[Any, Any, T], author: Any) -> T:
        """Serve a request. When its caller waits no more, it is cancelled wherever it has come to, as in production: what
        was handed to the disk is written all the same. Raises ConnectionError."""
        process = self._process
        if process is None or self.app is None:
            work.close()
            raise ConnectionRefusedError("the API server is down")
        context = copy_context()
        context.run(AUTHOR.set, author)
        task = process.spawn(work, context=context)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and process.dead:
                raise ConnectionResetError("the API server is gone") from None
            task.cancel()
            raise

    async def close(self) -> None:
        """The end, without a crash."""
        await self.crash()
