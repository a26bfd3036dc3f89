"""A service's own SQLite file. All statements run in one thread, so that the event loop never waits for the disk.

Several replicas may share the file (one volume on one node): WAL and BEGIN IMMEDIATE serialise their writers.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
BUSY_SECONDS = 10  # another replica's transaction takes milliseconds; this is for a machine under load


class Database:
    def __init__(self, path: str, schema: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._thread = ThreadPoolExecutor(1, "database")
        self._connection = self._thread.submit(self._open, path, schema).result()

    @staticmethod
    def _open(path: str, schema: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # an order that was confirmed survives a power cut
        connection.execute("PRAGMA foreign_keys=ON")
        connection.executescript(schema)
        return connection

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction: all of it is kept or nothing."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(self._connection))

    async def check(self) -> None:
        """Raises sqlite3.Error when the database does not answer."""
        await self.read(lambda db: db.execute("SELECT 1").fetchone())

    def close(self) -> None:
        """After what was asked for before; the next statement fails."""
        self._thread.submit(self._connection.close).result()
        self._thread.shutdown()

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.rollback()  # no error if SQLite has done so, as on a full disk
            raise
        return result


def rows(cursor: sqlite3.Cursor) -> list[dict[str, object]]:
    return [dict(row) for row in cursor.fetchall()]
