"""What the memory and the SQLite storage share: reads, watches and the order of a write.

A write takes its turn (one open write per key), is planned, made durable by `_store`, applied, and only then answered.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.api.types import Obj
from wherry.storage.errors import Closed
from wherry.storage.interface import Change, Entry, Watch
from wherry.storage.revision_log import WINDOW_BYTES, WINDOW_CHANGES, RevisionLog
from wherry.storage.watch import WatchHub


class LogStorage:
    """`storage.interface.Storage` but for the way a change becomes durable."""

    def __init__(self, *, window_changes: int = WINDOW_CHANGES, window_bytes: int = WINDOW_BYTES) -> None:
        self._log = RevisionLog(window_changes=window_changes, window_bytes=window_bytes)
        self._hub = WatchHub(self._log)
        self._closed = False

    @property
    def revision(self) -> int:
        return self._log.revision

    @property
    def compacted(self) -> int:
        return self._log.compacted

    async def start(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    def get(self, key: str) -> Entry | None:
        return self._log.get(key)

    def list(self, prefix: str, revision: int | None = None) -> Sequence[Entry]:
        return self._log.list(prefix, revision)

    def changed_at(self, prefix: str) -> int:
        """Of a resource's prefix or of one namespace in it; 0 when nothing ever changed there."""
        return self._log.changed_at(prefix)

    async def create(self, key: str, value: Obj) -> Entry:
        await self._take_turn(key)
        return await self._store(self._log.plan_create(key, value))

    async def update(self, key: str, value: Obj, expected: int) -> Entry:
        await self._take_turn(key)
        return await self._store(self._log.plan_update(key, value, expected))

    async def delete(self, key: str, expected: int) -> Entry:
        await self._take_turn(key)
        return await self._store(self._log.plan_delete(key, expected))

    def watch(self, prefix: str, after: int) -> Watch:
        return self._hub.watch(prefix, after)

    async def compact(self, revision: int) -> None:
        raise NotImplementedError

    async def _take_turn(self, key: str) -> None:
        """Return once no write of this key is open; nothing else runs between this and the plan. Raises Closed."""
        if self._closed:
            raise Closed

    async def _store(self, change: Change) -> Entry:
        raise NotImplementedError

    def _publish(self, changes: Sequence[Change]) -> None:
        """Durable changes become readable and watchers learn of them."""
        touched = {}
        for change in changes:
            bucket = self._log.apply(change)
            touched[bucket.prefix] = bucket
        self._hub.wake(touched.values())
