"""The file: one append-only table in SQLite, blocking calls only.

A row is a revision: id, key, the revision it replaced, whether it is a delete, the object. The unique index over
(key, replaced revision) is the compare-and-swap: two writes can never both replace the same state (the idea is kine's).

Durable means: write-ahead log, `synchronous=FULL` (NORMAL would not fsync a commit), autocommit, a whole group of writes
as one INSERT statement. One statement, because each step of a statement gives up the interpreter lock and must win it
back. AUTOINCREMENT keeps SQLite from giving out an id again after the rows at the end were compacted away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from wherry.storage.errors import CannotOpen, Corrupt, Damaged, InUse
from wherry.storage.interface import Change
from wherry.storage.sealing import HEAD_BYTES, PLAIN, Seal

FORMAT = 1
APPLICATION_ID = 0x57686572  # "Wher"

_SCHEMA = """
CREATE TABLE log (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL,
    created INTEGER NOT NULL,   -- the revision of the object's creation
    replaced INTEGER NOT NULL,  -- the revision of the row this one follows (a tombstone, too), 0 for none
    deleted INTEGER NOT NULL,
    object BLOB NOT NULL        -- last, so that the columns before it are read without it
);
CREATE UNIQUE INDEX compare_and_swap ON log (key, replaced);
CREATE TABLE compaction (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL);
INSERT INTO compaction VALUES (1, 0);
CREATE TABLE note (id INTEGER PRIMARY KEY CHECK (id = 1), text TEXT NOT NULL);
"""


class Row(NamedTuple):
    """One revision as stored."""

    revision: int
    key: str
    created: int
    replaced: int
    deleted: bool
    object: bytes


class Database:
    """An open database, locked against other processes."""

    def __init__(self, path: Path, lock: int, connection: sqlite3.Connection, seal: Seal) -> None:
        self.path = path
        self._lock = lock
        self._connection = connection
        self._seal = seal

    @classmethod
    def open(cls, path: Path, seal: Seal = PLAIN) -> Database:
        """Open or make the file (mode 0600). Raises InUse, Corrupt, CannotOpen with what to do about it."""
        try:
            lock = _lock(path)
        except OSError as error:
            raise CannotOpen(f"cannot open {path}: {error.strerror}") from error
        try:
            _make_private(path)
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            os.close(lock)
            raise CannotOpen(f"cannot open {path}: {error}") from error
        database = cls(path, lock, connection, seal)
        try:
            with damage_explained(path):
                database._prepare()
        except BaseException:
            database.close()
            raise
        return database

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        # After a burst the write-ahead log shrinks to this again; it is checkpointed every 4 MB (SQLite's default).
        run(f"PRAGMA journal_size_limit = {8 << 20}")
        run("PRAGMA temp_store = MEMORY")
        [application] = run("PRAGMA application_id").fetchone()
        [version] = run("PRAGMA user_version").fetchone()
        [tables] = run("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            self._connection.executescript(
                f"BEGIN;{_SCHEMA}PRAGMA application_id = {APPLICATION_ID};PRAGMA user_version = {FORMAT};COMMIT;"
            )
        elif application != APPLICATION_ID:
            raise CannotOpen(f"{self.path} is a database of something else; name another file or move it away")
        elif version != FORMAT:
            raise CannotOpen(
                f"{self.path} has format {version}, this Wherry reads format {FORMAT}: "
                "start the Wherry that wrote it, or begin anew with `wherry down --delete`"
            )

    def compacted(self) -> int:
        """The revision history was last compacted to."""
        row = self._connection.execute("SELECT revision FROM compaction").fetchone()
        if row is None:
            raise Damaged("the compaction record is missing")
        return int(row[0])

    def note(self) -> str | None:
        """What `write_note` said last, None when it never said anything; "" in a file from before there were notes."""
        if not self._connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'note'").fetchone()[0]:
            return ""
        row = self._connection.execute("SELECT text FROM note").fetchone()
        return None if row is None else str(row[0])

    def write_note(self, text: str) -> None:
        """Durable once this returns. Raises sqlite3.Error."""
        run = self._connection.execute
        run("CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY CHECK (id = 1), text TEXT NOT NULL)")
        run("INSERT OR REPLACE INTO note VALUES (1, ?)", (text,))

    def rows(self) -> Iterator[Row]:
        """Every revision still known, oldest first. Reads the whole file, so that damage is found now."""
        count = 0
        for revision, key, created, replaced, deleted, data in self._connection.execute(
            "SELECT revision, key, created, replaced, deleted, object FROM log ORDER BY revision"
        ):
            count += 1
            plain = self._seal.open(key, revision, data)
            yield Row(revision, key, created, replaced, bool(deleted), plain)
        [indexed] = self._connection.execute("SELECT count(*) FROM log INDEXED BY compare_and_swap").fetchone()
        if indexed != count:
            raise Damaged(f"{count} rows but {indexed} in the index")

    def append(self, changes: Sequence[tuple[Change, int]]) -> None:
        """Store changes, each with the revision its row follows: all of them, durably, or none. Raises sqlite3.Error."""
        parameters: list[object] = []
        for change, replaced in changes:
            entry = change.entry
            deleted = change.type == "DELETED"
            data = self._seal.seal(entry.key, entry.revision, entry.data)
            parameters += (entry.revision, entry.key, entry.create_revision, replaced, deleted, data)
        places = ",".join(["(?,?,?,?,?,?)"] * len(changes))
        self._connection.execute(
            f"INSERT INTO log (revision, key, created, replaced, deleted, object) VALUES {places}",  # noqa: S608
            parameters,
        )

    def compact(self, revision: int) -> None:
        """Delete what was replaced or deleted at or before `revision`. Raises sqlite3.Error."""
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        try:
            # Only rows since the last compaction can have replaced something that is still here.
            since = self.compacted()
            run(
                "DELETE FROM log WHERE revision IN "
                "(SELECT replaced FROM log WHERE revision > ? AND revision <= ? AND replaced > 0)",
                (since, revision),
            )
            run("DELETE FROM log WHERE revision > ? AND revision <= ? AND deleted", (since, revision))
            run("UPDATE compaction SET revision = ?", (revision,))
            run("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                run("ROLLBACK")
            raise

    def stale(self, after: int = 0, limit: int = 1) -> list[int]:
        """Up to `limit` revisions greater than `after` whose value would be sealed otherwise today."""
        found: list[int] = []
        for revision, key, head in self._connection.execute(
            f"SELECT revision, key, substr(object, 1, {HEAD_BYTES}) FROM log WHERE revision > ? ORDER BY revision",  # noqa: S608
            (after,),
        ):
            if self._seal.stale(key, head):
                found.append(revision)
                if len(found) == limit:
                    break
        return found

    def reseal(self, revisions: Sequence[int]) -> None:
        """Seal these rows anew, all or none; what was there is overwritten with zeros. Raises sqlite3.Error, Damaged."""
        run = self._connection.execute
        run("PRAGMA secure_delete = ON")
        run("BEGIN IMMEDIATE")
        try:
            for revision in revisions:
                row = run("SELECT key, object FROM log WHERE revision = ?", (revision,)).fetchone()
                if row is not None:  # compacted meanwhile
                    plain = self._seal.open(row[0], revision, row[1])
                    sealed = self._seal.seal(row[0], revision, plain)
                    run("UPDATE log SET object = ? WHERE revision = ?", (sealed, revision))
            run("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                run("ROLLBACK")
            raise
        finally:
            run("PRAGMA secure_delete = OFF")

    def checkpoint(self) -> None:
        """Everything into the file itself; the write-ahead log is empty afterwards and holds nothing of the past."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        self._connection.close()
        os.close(self._lock)


def _lock(path: Path) -> int:
    """Hold `<path>.lock` until the descriptor is closed, which the kernel does for a killed process."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode(errors="replace").strip()
        os.close(lock)
        who = f"process {holder}" if holder.isdigit() else "another process"
        raise InUse(f"{path} is in use by {who}: only one control plane may have it; end that one first") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _make_private(path: Path) -> None:
    """The file holds Secrets: mode 0600 from its first moment (SQLite gives its log files the same)."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        path.chmod(0o600)
        return
    os.close(descriptor)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def damage_explained(path: Path) -> Iterator[None]:
    """Turn what was noticed about a damaged file into an error that says what to do."""
    try:
        yield
    except (sqlite3.Error, Damaged) as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        if code & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise CannotOpen(f"cannot open {path}: {error}") from error
        raise Corrupt(
            f"{path} is damaged ({error}). Nothing was changed. Put back a copy of it, or save what is readable with "
            f"`sqlite3 {path} .recover`, or begin anew with `wherry down --delete`"
        ) from error
