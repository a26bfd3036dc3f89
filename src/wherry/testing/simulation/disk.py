"""A disk that forgets: what was written and not fsynced is gone after a crash. May be slow, and may be full.

Is: the file below `SqliteStorage`, in memory, and the queue before it in virtual time. Is not: SQLite, whose own durability
the tests of killed processes look at.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from wherry.storage.database import Database, Row
from wherry.storage.errors import InUse
from wherry.storage.group_commit import GROUP_JOBS_MAX, GroupCommit
from wherry.storage.interface import Change

Job = TypeVar("Job")
FSYNC_SECONDS = 0.0005
"""A disk in good health."""


class Disk:
    """Survives crashes. Up to `slow` seconds are added to every fsync; while somebody counts it as `full` it takes no write."""

    def __init__(self, rng: random.Random, changes: Sequence[Change] = ()) -> None:
        self.rng = rng
        self.synced: list[Row] = []
        self.unsynced: list[Row] = []
        self.compacted = 0
        self.full = 0
        self.slow = 0.0
        self.open = False
        self.struck: Counter[str] = Counter()
        """How often its faults did harm."""
        self._lurking: list[asyncio.Future[None]] = []
        last: dict[str, int] = {}
        for change in changes:
            self.synced.append(row(change, last.get(change.entry.key, 0)))
            last[change.entry.key] = change.revision

    def write(self, rows: Sequence[Row]) -> None:
        """Raises sqlite3.OperationalError as SQLite does, having written nothing."""
        if self.full:
            self.struck["writes to a full disk"] += 1
            raise sqlite3.OperationalError("database or disk is full")
        self.unsynced += rows

    def sync(self) -> None:
        self.synced += self.unsynced
        self.unsynced = []

    def seconds(self) -> float:
        """How long the next fsync takes."""
        self.struck["slow fsyncs"] += self.slow > 0
        return FSYNC_SECONDS * (0.5 + self.rng.random()) + self.slow * self.rng.random()

    async def busy(self) -> None:
        """Return when something is on its way to the disk, and nothing of it acknowledged."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lurking.append(future)
        await future

    def begins(self) -> None:
        """A group of writes is on its way."""
        while self._lurking:
            if not (future := self._lurking.pop()).done():
                future.set_result(None)

    def crash(self) -> None:
        """The power goes: what was not fsynced is gone."""
        self.unsynced = []
        self.open = False


class DiskDatabase(Database):
    """`storage.database.Database` on a `Disk`: nothing of SQLite is left of it."""

    def __init__(self, disk: Disk) -> None:
        if disk.open:
            raise InUse("the disk is in use")
        disk.open = True
        self._disk = disk

    def compacted(self) -> int:
        return self._disk.compacted

    def rows(self) -> Iterator[Row]:
        yield from self._disk.synced

    def append(self, changes: Sequence[tuple[Change, int]]) -> None:
        self._disk.write([row(change, replaced) for change, replaced in changes])
        self._disk.sync()

    def compact(self, revision: int) -> None:
        disk = self._disk
        if disk.full:
            raise sqlite3.OperationalError("database or disk is full")
        gone = {each.replaced for each in disk.synced if disk.compacted < each.revision <= revision}
        gone |= {each.revision for each in disk.synced if each.deleted and each.revision <= revision}
        disk.synced = [each for each in disk.synced if each.revision not in gone]
        disk.compacted = max(disk.compacted, revision)

    def stale(self, after: int = 0, limit: int = 1) -> list[int]:
        """Nothing is sealed here."""
        return []

    def reseal(self, revisions: Sequence[int]) -> None:
        """Nothing is sealed here."""

    def checkpoint(self) -> None:
        """There is no write-ahead log."""

    def close(self) -> None:
        self._disk.open = False


class TimedCommit(GroupCommit[Job], Generic[Job]):
    """The writer thread's part, played by timers of the loop: one group at a time, as long as the disk takes."""

    def __init__(
        self,
        commit: Callable[[Sequence[Job]], None],
        done: Callable[[Sequence[Job]], None],
        disk: Disk,
    ) -> None:
        super().__init__(commit, done)
        self._disk = disk
        self._waiting: list[Job] = []
        self._group: list[Job] = []
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Timers come with the first job."""

    def submit(self, job: Job) -> None:
        assert not self._stopping, "submitted after stop"
        self._waiting.append(job)
        if self._timer is None:
            self._begin()

    def _begin(self) -> None:
        """The group is what waits when the disk is free; those who come later are the next."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._disk.seconds(), self._end)
        loop.call_soon(self._take)

    def _take(self) -> None:
        self._group, self._waiting = self._waiting[:GROUP_JOBS_MAX], self._waiting[GROUP_JOBS_MAX:]
        self._disk.begins()

    def _end(self) -> None:
        group, self._group = self._group, []
        self._commit(group)
        self._done(group)  # may submit: the timer says that somebody is at work
        self._timer = None
        if self._waiting:
            self._begin()
        elif self._stopping:
            self._stopped.set()

    async def stop(self) -> None:
        self._stopping = True
        if self._timer is not None:
            await self._stopped.wait()

    def crash(self) -> None:
        """Nobody is told anything any more. Whether the group that was on its way is on the disk is the disk's secret."""
        self._stopping = True
        if self._timer is None:
            return
        self._timer.cancel()
        if self._group and self._disk.rng.random() < 0.5:
            self._disk.struck["crashes that kept what was on its way"] += 1
            self._commit(self._group)
        elif self._group or self._waiting:
            self._disk.struck["crashes that lost what was on its way"] += 1


def row(change: Change, replaced: int) -> Row:
    """As the file has it."""
    entry = change.entry
    return Row(entry.revision, entry.key, entry.create_revision, replaced, change.type == "DELETED", entry.data)
