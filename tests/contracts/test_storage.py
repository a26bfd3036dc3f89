"""The storage contract over every storage there is."""

from __future__ import annotations

import random
from pathlib import Path

from wherry.storage.interface import Storage
from wherry.storage.memory import MemoryStorage
from wherry.storage.sqlite import SqliteStorage
from wherry.testing.contracts.storage import StorageContract
from wherry.testing.simulation.disk import Disk
from wherry.testing.simulation.disk_storage import DiskStorage


class TestMemory(StorageContract):
    def new(self, folder: Path, *, window_changes: int = 4096) -> Storage:
        return MemoryStorage(window_changes=window_changes)


class TestSqlite(StorageContract):
    def new(self, folder: Path, *, window_changes: int = 4096) -> Storage:
        return SqliteStorage(folder / "storage.db", window_changes=window_changes, compact_every_revisions=5)


class TestSqliteInline(StorageContract):
    """As it runs in virtual time: no thread."""

    def new(self, folder: Path, *, window_changes: int = 4096) -> Storage:
        return SqliteStorage(folder / "storage.db", inline=True, window_changes=window_changes)


class TestDisk(StorageContract):
    """As the simulation has it: in virtual time, on a disk that forgets."""

    def new(self, folder: Path, *, window_changes: int = 4096) -> Storage:
        return DiskStorage(Disk(random.Random(0)), window_changes=window_changes, compact_every_revisions=5)
