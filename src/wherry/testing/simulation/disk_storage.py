"""`SqliteStorage` over a disk that may crash: its rules of revisions, groups and failures are production's.

Also notes who asked for each revision, which stands for an audit log.
"""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import Any

from wherry.storage.interface import Change, Entry
from wherry.storage.replay import replay
from wherry.storage.sqlite import COMPACT_EVERY_REVISIONS, SqliteStorage
from wherry.testing.simulation.disk import Disk, DiskDatabase, TimedCommit

AUTHOR: ContextVar[Any] = ContextVar("author", default=None)
"""Whatever the task that serves a request says of it."""


class DiskStorage(SqliteStorage):
    """`crash()` in the place of `close()`: what was acknowledged is on the disk, the rest may be."""

    def __init__(
        self, disk: Disk, *, window_changes: int = 4096, compact_every_revisions: int = COMPACT_EVERY_REVISIONS
    ) -> None:
        super().__init__(Path("disk"), window_changes=window_changes, compact_every_revisions=compact_every_revisions)
        self.disk = disk
        self.authors: dict[int, Any] = {}
        self._timed = self._writer = TimedCommit(self._commit, self._committed, disk)

    async def start(self) -> None:
        database = DiskDatabase(self.disk)
        self._compaction_asked = database.compacted()
        self._tombstones = replay(database.rows(), self._compaction_asked, self._log)
        self._database = database

    def crash(self) -> None:
        """Watches end; writes on their way are never answered."""
        self._closed = True
        self._timed.crash()
        self._hub.close()
        self.disk.crash()
        self._database = None

    async def _store(self, change: Change) -> Entry:
        self.authors[change.revision] = AUTHOR.get()
        return await super()._store(change)
