"""What only a file can get wrong: restarts, damage, a full disk, a second process."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from wherry.aio.virtual import run_virtual
from wherry.storage.database import Database
from wherry.storage.errors import CannotOpen, Compacted, Conflict, Corrupt, InUse, WriteFailed
from wherry.storage.interface import Change
from wherry.storage.sqlite import SqliteStorage

PODS = "/registry/core/pods/"
A = PODS + "shop/a"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "storage.db"


@asynccontextmanager
async def opened(path: Path, **options: int) -> AsyncIterator[SqliteStorage]:
    storage = SqliteStorage(path, **options)
    await storage.start()
    try:
        yield storage
    finally:
        await storage.close()


def obj(name: str, data: str = "") -> dict[str, object]:
    return {"metadata": {"name": name}, "data": data}


def rows(path: Path) -> list[tuple[int, str, int]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT revision, key, deleted FROM log ORDER BY revision").fetchall()
    finally:
        connection.close()


async def test_a_restart_keeps_state_revisions_and_the_recent_past(path: Path) -> None:
    async with opened(path) as storage:
        a = await storage.create(A, obj("a"))
        a2 = await storage.update(A, obj("a", "2"), a.revision)
        b = await storage.create(PODS + "shop/b", obj("b"))
        await storage.delete(b.key, b.revision)
    async with opened(path) as storage:
        assert (storage.revision, storage.compacted, storage.changed_at(PODS)) == (4, 0, 4)
        assert list(storage.list(PODS)) == [a2]
        assert list(storage.list(PODS, 3)) == [a2, b]
        watch = storage.watch(PODS, 1)
        assert await anext(aiter(watch)) == Change("MODIFIED", a2, a)
        again = await storage.create(b.key, obj("b"))
        assert again.revision == 5


async def test_revisions_are_not_reused_after_the_newest_rows_were_compacted(path: Path) -> None:
    async with opened(path) as storage:
        a = await storage.create(A, obj("a"))
        await storage.delete(A, a.revision)
        await storage.compact(2)
    assert rows(path) == []
    async with opened(path) as storage:
        assert (storage.revision, storage.compacted) == (2, 2)
        assert (await storage.create(A, obj("a"))).revision == 3


async def test_compaction_deletes_rows_nobody_can_ask_for(path: Path) -> None:
    async with opened(path) as storage:
        a = await storage.create(A, obj("a"))
        a = await storage.update(A, obj("a"), a.revision)
        b = await storage.create(PODS + "shop/b", obj("b"))
        await storage.delete(b.key, b.revision)
        a = await storage.update(A, obj("a"), a.revision)
        await storage.compact(3)
        assert [row[0] for row in rows(path)] == [2, 3, 4, 5]
        await storage.compact(5)
        assert [row[0] for row in rows(path)] == [5]
    async with opened(path) as storage:
        assert list(storage.list(PODS, 5)) == [a]
        with pytest.raises(Compacted):
            storage.watch(PODS, 4)


async def test_the_file_is_kept_as_short_as_the_window(path: Path) -> None:
    async with opened(path, window_changes=10, compact_every_revisions=20) as storage:
        entry = await storage.create(A, obj("a"))
        for _ in range(200):
            entry = await storage.update(A, obj("a"), entry.revision)
    assert len(rows(path)) <= 10 + 20 + 1


async def test_a_write_is_on_disk_before_it_is_answered_or_seen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    append = Database.append

    def noted(self: Database, changes: list[tuple[Change, int]]) -> None:
        order.append("fsync begins")
        append(self, changes)
        order.append("fsync ended")

    monkeypatch.setattr(Database, "append", noted)
    async with opened(path) as storage:
        watch = storage.watch(PODS, 0)

        async def see() -> None:
            await anext(aiter(watch))
            order.append("seen")

        seeing = asyncio.create_task(see())
        writing = asyncio.create_task(storage.create(A, obj("a")))
        await asyncio.sleep(0)
        assert storage.get(A) is None
        await asyncio.gather(writing, seeing)
    assert order == ["fsync begins", "fsync ended", "seen"]


async def test_writes_that_wait_together_share_a_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = []
    append = Database.append

    def noted(self: Database, changes: list[tuple[Change, int]]) -> None:
        groups.append(len(changes))
        append(self, changes)

    monkeypatch.setattr(Database, "append", noted)
    async with opened(path) as storage:
        await asyncio.gather(*(storage.create(f"{PODS}shop/{i}", obj(str(i))) for i in range(200)))
    assert sum(groups) == 200
    assert len(groups) < 100


async def test_commits_are_synchronous_and_autocommitted(path: Path) -> None:
    async with opened(path) as storage:
        assert storage._database is not None
        connection = storage._database._connection
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.isolation_level is None


async def test_a_full_disk_fails_the_write_and_nothing_else(path: Path) -> None:
    async with opened(path) as storage:
        a = await storage.create(A, obj("a"))
        assert storage._database is not None
        run = storage._database._connection.execute
        [pages] = run("PRAGMA page_count").fetchone()
        run(f"PRAGMA max_page_count = {pages + 4}")  # SQLite then says what it says when the disk is full
        watch = storage.watch(PODS, storage.revision)
        big = "x" * 100_000
        results = await asyncio.gather(
            storage.update(A, obj("a", big), a.revision),
            storage.create(PODS + "shop/b", obj("b", big)),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [WriteFailed, WriteFailed]
        assert "full" in str(results[0])
        assert storage.get(A) is a
        assert list(storage.list(PODS)) == [a]
        assert storage.revision == a.revision
        run("PRAGMA max_page_count = 1000000")
        a2 = await storage.update(A, obj("a", big), a.revision)
        assert a2.revision > a.revision + 2, "the revisions of failed writes are not used again"
        assert (await anext(aiter(watch))).entry is a2
    async with opened(path) as storage:
        assert list(storage.list(PODS)) == [a2]


async def test_a_second_process_is_refused(path: Path) -> None:
    async with opened(path) as storage:
        await storage.create(A, obj("a"))
        with pytest.raises(InUse, match=f"in use by process {os.getpid()}"):
            await SqliteStorage(path).start()
        program = "import sys, pathlib; from wherry.storage.database import Database; Database.open(pathlib.Path(sys.argv[1]))"
        refused = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert "InUse" in refused.stderr
        assert list(storage.list(PODS)) != []
    async with opened(path) as storage:
        assert storage.get(A) is not None


async def test_the_files_are_private(path: Path) -> None:
    before = os.umask(0)
    try:
        async with opened(path) as storage:
            await storage.create(A, obj("a"))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}, modes
    assert "storage.db" in modes


async def fill(path: Path, count: int = 300) -> None:
    async with opened(path) as storage:
        await asyncio.gather(*(storage.create(f"{PODS}shop/{i}", obj(str(i), "x" * 500)) for i in range(count)))


@pytest.mark.parametrize("keep", [10, 50, 90])
async def test_a_truncated_file_is_noticed(path: Path, keep: int) -> None:
    await fill(path)
    os.truncate(path, path.stat().st_size * keep // 100)
    with pytest.raises(Corrupt, match=r"damaged .* Put back a copy"):
        await SqliteStorage(path).start()


async def test_damage_inside_an_object_is_noticed(path: Path) -> None:
    await fill(path)
    data = bytearray(path.read_bytes())
    middle = data.index(b"xxxx", len(data) // 2)
    data[middle : middle + 8] = b'"\x00\xff}}}}}'
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="not JSON"):
        await SqliteStorage(path).start()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE log SET replaced = 77 WHERE revision = 2",
        "UPDATE log SET object = (SELECT object FROM log WHERE revision = 1) WHERE revision = 2",
        "UPDATE log SET deleted = 1 WHERE revision = 1",
        "DELETE FROM compaction",
        "DROP INDEX compare_and_swap",
    ],
)
async def test_rows_that_contradict_each_other_are_noticed(path: Path, damage: str) -> None:
    async with opened(path) as storage:
        a = await storage.create(A, obj("a"))
        await storage.update(A, obj("a"), a.revision)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(damage)
    connection.close()
    with pytest.raises((Corrupt, CannotOpen)):
        await SqliteStorage(path).start()


async def test_other_files_are_refused(path: Path, tmp_path: Path) -> None:
    path.write_text("not a database, but long enough to look at" * 100)
    with pytest.raises(Corrupt, match="not a database"):
        await SqliteStorage(path).start()
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(CannotOpen, match="something else"):
        await SqliteStorage(other).start()
    newer = tmp_path / "newer.db"
    await fill(newer, 1)
    connection = sqlite3.connect(newer)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(CannotOpen, match="format 9"):
        await SqliteStorage(newer).start()
    with pytest.raises(CannotOpen, match="No such file"):
        await SqliteStorage(tmp_path / "missing" / "storage.db").start()


async def test_the_table_itself_refuses_to_replace_a_state_twice(path: Path) -> None:
    async with opened(path) as storage:
        a = await storage.create(A, obj("a"))
        await storage.update(A, obj("a"), a.revision)
        assert storage._database is not None
        with pytest.raises(sqlite3.IntegrityError):
            storage._database._connection.execute(
                "INSERT INTO log (key, created, replaced, deleted, object) VALUES (?, 1, 1, 0, '{}')", (A,)
            )


def test_inline_it_runs_in_virtual_time(path: Path) -> None:
    async def main() -> None:
        storage = SqliteStorage(path, inline=True)
        await storage.start()
        a = await storage.create(A, obj("a"))
        await asyncio.sleep(3600)
        with pytest.raises(Conflict):
            await storage.update(A, obj("a"), a.revision + 1)
        await storage.close()

    run_virtual(main())
