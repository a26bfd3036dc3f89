"""Disks made full: what is filled and what is spared, how leases live on where nothing can be written, how storage fails."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from wherry.aio.clock import ManualClock
from wherry.chaos import kept
from wherry.chaos.deciding import check, is_full
from wherry.chaos.faults import BadFault, Fault
from wherry.chaos.filler import Filler, NotFilled
from wherry.chaos.filler import check as check_filling
from wherry.chaos.kept import FaultFolder, MemoryFaults
from wherry.storage.errors import WriteFailed
from wherry.storage.sqlite import SqliteStorage

A, B = "/registry/core/configmaps/default/a", "/registry/core/configmaps/default/b"
STORAGE = Fault("d", "disk", what={"of": "storage"})


def free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def test_a_filler_takes_what_is_free_has_no_name_and_gives_it_back(tmp_path: Path) -> None:
    little = 64 << 20  # others write there meanwhile
    with Filler(tmp_path, max(free(tmp_path) - little, 0)) as filler:
        assert filler.size > 0
        assert list(tmp_path.iterdir()) == []
        assert os.fstat(filler._descriptor).st_nlink == 0
        descriptor = filler._descriptor
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_what_belongs_to_others_is_not_filled(tmp_path: Path) -> None:
    with pytest.raises(NotFilled, match=r"holds .* too, so everything on this machine would fail"):
        check_filling(tmp_path, [Path("/nonexistent"), tmp_path.parent], 1 << 40)
    shared_memory = Path("/dev/shm")
    if shared_memory.is_dir():
        with pytest.raises(NotFilled, match="lies in memory, of which more than half would go"):
            check_filling(shared_memory, [], 0)
    check_filling(tmp_path, [], 1 << 60)


def test_storage_is_full_while_a_fault_says_so() -> None:
    faults = MemoryFaults()
    assert not is_full(faults)
    faults.add(Fault("f", "disk", what={"of": "filesystem", "leave": 0}))
    assert not is_full(faults), "that one is for real"
    faults.add(STORAGE)
    assert is_full(faults)
    with pytest.raises(BadFault, match="the disk of 'pods' cannot be full: use storage, filesystem"):
        check(Fault("f", "disk", what={"of": "pods"}))


def test_a_write_on_a_full_disk_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    faults = MemoryFaults()

    async def main() -> None:
        storage = SqliteStorage(tmp_path / "storage.db", full=lambda: is_full(faults))
        await storage.start()
        first = await storage.create(A, {"metadata": {"name": "a"}})
        faults.add(STORAGE)
        with pytest.raises(WriteFailed, match="database or disk is full"):
            await storage.create(B, {"metadata": {"name": "b"}})
        assert storage.get(A) is first
        faults.remove(STORAGE)
        await storage.create(B, {"metadata": {"name": "b"}})
        await storage.close()
        again = SqliteStorage(tmp_path / "storage.db")
        await again.start()
        assert [each.key for each in again.list("/registry/core/configmaps/")] == [A, B]
        await again.close()

    asyncio.run(main())


def test_a_lease_is_renewed_in_place_where_nothing_new_can_be_written(tmp_path: Path) -> None:
    clock = ManualClock()
    fault = Fault("n", "node", {"node": "a"})
    kept.renew(tmp_path, fault, clock.time())
    faults = FaultFolder(tmp_path, clock)
    assert faults.active("node")
    file = tmp_path / "n.json"
    before = file.stat().st_ino
    clock.advance(4)
    kept._write_over(file, file.read_text().replace(str(clock.time() + 1), str(clock.time() + 5)))
    assert file.stat().st_ino == before
    clock.advance(4)
    assert [each.name for each in faults.active("node")] == ["n"]
