"""Writes to a database until it is killed, and says on stdout what was acknowledged: `key kind number revision`.

With a third argument it kills itself, in its second compaction before the statement of that number.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from random import Random
from typing import Any

from wherry.storage.database import Database
from wherry.storage.sqlite import SqliteStorage


async def write(storage: SqliteStorage, name: str, rng: Random) -> None:
    """One writer owns one key: create, update, update, ..., delete, create, ..."""
    key = f"/registry/core/configmaps/default/{name}"
    entry = storage.get(key)
    number = entry.value["number"] if entry else 0
    while True:
        number += 1
        value = {"metadata": {"name": name}, "number": number, "data": "x" * rng.randrange(2000)}
        if entry is None:
            kind, entry = "set", await storage.create(key, value)
        elif rng.random() < 0.3:
            kind, gone, entry = "gone", await storage.delete(key, entry.revision), None
        else:
            kind, entry = "set", await storage.update(key, value, entry.revision)
        revision = entry.revision if entry else gone.revision
        os.write(1, f"{key} {kind} {number} {revision}\n".encode())


async def main(path: Path, seed: int) -> None:
    storage = SqliteStorage(path, window_changes=32, compact_every_revisions=16)
    await storage.start()
    await asyncio.gather(*(write(storage, f"c{i}", Random(seed * 100 + i)) for i in range(8)))


class Deadly:
    """A connection whose user dies before its statement number `left`."""

    def __init__(self, inner: Any, left: int) -> None:
        self._inner, self._left = inner, left

    def execute(self, *arguments: Any) -> Any:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1
        return self._inner.execute(*arguments)


def die_compacting(statement: int) -> None:
    whole, times = Database.compact, iter((False, True))

    def compact(self: Database, revision: int) -> None:
        real = self._connection
        if next(times, True):
            self._connection = Deadly(real, statement)  # type: ignore[assignment]
        whole(self, revision)
        if self._connection is not real:
            os.kill(os.getpid(), signal.SIGKILL)

    Database.compact = compact  # type: ignore[method-assign]


if len(sys.argv) > 3:
    die_compacting(int(sys.argv[3]))
asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
