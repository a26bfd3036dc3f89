"""Storage in a file: memory is read, the file is written, and memory changes only after the file did.

Three threads of thought meet here: `revision_log` says what a write means, `database` makes it durable, `group_commit`
lets many writes share one fsync. A write of a key waits for the open write of the same key, so the compare-and-swap is
always decided against durable state and writes of one group are independent: when a group cannot be committed (disk
full), its writes fail with WriteFailed, memory stays as it was, and the next group is tried afresh.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct, field

from wherry.storage import abandoned
from wherry.storage.base import LogStorage
from wherry.storage.database import Database, damage_explained
from wherry.storage.errors import CannotOpen, Closed, Damaged, FutureRevision, WriteFailed
from wherry.storage.group_commit import GroupCommit
from wherry.storage.interface import Change, Entry
from wherry.storage.reading import AS_STORED, Reading
from wherry.storage.replay import replay
from wherry.storage.revision_log import WINDOW_BYTES, WINDOW_CHANGES
from wherry.storage.sealing import PLAIN, Seal

log = logging.getLogger(__name__)

# History on disk is cut to what the window still tells each time the window has moved on by this much: an idle system
# that renews leases writes as much in half a day, and the cut takes some ten milliseconds.
COMPACT_EVERY_REVISIONS = 4096

FULL = "database or disk is full"  # SQLite's own words

RESEALED_AT_ONCE = 256
"""Values of one transaction: some milliseconds that other writes wait."""


class _Write(Struct):
    """An accepted write on its way to the disk."""

    change: Change
    replaced: int
    done: asyncio.Future[None]
    error: Exception | None = None


class _Resealing(Struct):
    """One step of it; `revisions` are what it sealed anew."""

    after: int
    done: asyncio.Future[None]
    revisions: list[int] = field(default_factory=list)
    error: Exception | None = None


class _Compaction(Struct):
    revision: int
    done: asyncio.Future[None] | None
    error: Exception | None = None


_Job = _Write | _Resealing | _Compaction


class SqliteStorage(LogStorage):
    """`inline=True` commits in the calling task instead of a thread: for virtual time, where a thread would be late."""

    def __init__(
        self,
        path: Path,
        *,
        inline: bool = False,
        window_changes: int = WINDOW_CHANGES,
        window_bytes: int = WINDOW_BYTES,
        compact_every_revisions: int = COMPACT_EVERY_REVISIONS,
        seal: Seal = PLAIN,
        reading: Reading = AS_STORED,
        full: Callable[[], bool] = lambda: False,
    ) -> None:
        """`full`: whether writes are to fail as on a full disk, whatever the disk says; asked in the writer thread."""
        super().__init__(window_changes=window_changes, window_bytes=window_bytes)
        self._path = path
        self._seal = seal
        self._reading = reading
        self._full = full
        self._inline = inline
        self._compact_every_revisions = compact_every_revisions
        self._compaction_asked = 0
        self._database: Database | None = None
        self._open: dict[str, asyncio.Future[None]] = {}
        self._tombstones: dict[str, int] = {}
        self._writer: GroupCommit[_Job] = GroupCommit(self._commit, self._committed)

    async def start(self) -> None:
        """Open and load. Raises CannotOpen (InUse, Corrupt)."""
        database = Database.open(self._path, self._seal)
        try:
            with damage_explained(self._path), _without_collector():
                note = database.note()
                noted = self._reading.begin(note)
                if noted is not None and noted != note:
                    database.write_note(noted)
                self._compaction_asked = database.compacted()
                self._tombstones = replay(database.rows(), self._compaction_asked, self._log, self._reading)
        except BaseException:
            database.close()
            raise
        self._database = database
        if not self._inline:
            self._writer.start()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._writer.stop()
        self._hub.close()
        if self._database is not None:
            self._database.close()
            self._database = None

    async def compact(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevision(revision, self.revision)
        if self._closed:
            raise Closed
        done = asyncio.get_running_loop().create_future()
        self._submit(_Compaction(revision, done))
        await asyncio.shield(done)

    async def reseal(self) -> int:
        """Seal anew whatever would be sealed otherwise today; other writes go on meanwhile. The answer is how many values
        that were. What was done stays done when it fails or is cancelled. Raises WriteFailed, Closed."""
        count, after = 0, 0
        while True:
            if self._closed:
                raise Closed
            step = _Resealing(after, asyncio.get_running_loop().create_future())
            self._submit(step)
            await asyncio.shield(step.done)
            if not step.revisions:
                return count
            count += len(step.revisions)
            after = step.revisions[-1]

    async def _take_turn(self, key: str) -> None:
        await super()._take_turn(key)
        while (open_write := self._open.get(key)) is not None:
            await asyncio.wait([open_write])
            await super()._take_turn(key)

    async def _store(self, change: Change) -> Entry:
        """A caller that is cancelled here does not take its write back."""
        entry = change.entry
        replaced = change.previous.revision if change.previous else self._tombstones.get(entry.key, 0)
        done = asyncio.get_running_loop().create_future()
        done.add_done_callback(asyncio.Future.exception)  # heard, also when the caller has gone
        self._open[entry.key] = done
        self._submit(_Write(change, replaced, done))
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError as error:
            abandoned.mark(error, done)
            raise
        return entry

    def _submit(self, job: _Job) -> None:
        assert self._database is not None, "start() comes first"
        if self._inline:
            self._commit((job,))
            self._committed((job,))
        else:
            self._writer.submit(job)

    # In the writer thread

    def _commit(self, group: Sequence[_Job]) -> None:
        assert self._database is not None
        writes = [job for job in group if isinstance(job, _Write)]
        try:
            if writes:
                self._check_room()
                self._database.append([(write.change, write.replaced) for write in writes])
        except Exception as error:  # noqa: BLE001 - whatever it was, the waiting writers must hear of it
            for write in writes:
                write.error = error
        for job in group:
            if isinstance(job, _Resealing):
                self._reseal(self._database, job)
            elif isinstance(job, _Compaction):
                try:
                    self._database.compact(job.revision)
                except sqlite3.Error as error:
                    job.error = error

    def _check_room(self) -> None:
        if self._full():
            raise sqlite3.OperationalError(FULL)

    def _reseal(self, database: Database, step: _Resealing) -> None:
        try:
            step.revisions = database.stale(step.after, RESEALED_AT_ONCE)
            database.reseal(step.revisions)
            if not step.revisions:
                database.checkpoint()
        except (sqlite3.Error, Damaged, CannotOpen) as error:
            step.error = error

    # In the event loop

    def _committed(self, group: Sequence[_Job]) -> None:
        self._publish([job.change for job in group if isinstance(job, _Write) and job.error is None])
        for job in group:
            if isinstance(job, _Write):
                self._settle(job)
            elif isinstance(job, _Compaction) and job.error is None:
                self._log.compact(job.revision)
                self._tombstones = {key: at for key, at in self._tombstones.items() if at > job.revision}
            if job.done is None:
                if job.error is not None:
                    log.warning("cannot compact %s: %s", self._path, job.error)
            elif job.error is None:
                job.done.set_result(None)
            else:
                job.done.set_exception(WriteFailed(f"cannot write {self._path}: {job.error}"))
        self._compact_in_time()

    def _settle(self, write: _Write) -> None:
        key = write.change.entry.key
        del self._open[key]
        if write.error is not None:
            return
        if write.change.type == "DELETED":
            self._tombstones[key] = write.change.revision
        else:
            self._tombstones.pop(key, None)

    def _compact_in_time(self) -> None:
        """Keep the file as short as the window."""
        if self._closed or self.compacted - self._compaction_asked < self._compact_every_revisions:
            return
        self._compaction_asked = self.compacted
        self._submit(_Compaction(self.compacted, None))


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Loading makes a million objects and not one cycle; the collector would walk them again and again (half the time)."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
