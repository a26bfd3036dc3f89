"""The machine loses its power: what was acknowledged is there, in order, however much of the next write reached the disk.

A disk writes sectors in any order until it is told to sync. So the files are kept as they were at each acknowledgement, and
between two of them any mixture of old and new sectors, or any shorter log, is a disk that may be found afterwards.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from wherry.storage.interface import Entry
from wherry.storage.sqlite import SqliteStorage

PREFIX = "/registry/core/configmaps/"
SECTOR = 512  # bytes a disk writes at once
LOG_HEADER = 32  # of a write-ahead log; SQLite syncs it by itself before anything behind it
ROUNDS = 32
COMPACT_EVERY_REVISIONS = 40


@dataclass(frozen=True)
class Disk:
    """Both files of the database when everything up to `revision` was acknowledged, and the numbers stored then."""

    database: bytes
    log: bytes
    revision: int
    numbers: dict[str, int]


async def record(path: Path) -> list[Disk]:
    """Several writers at a time, compaction and SQLite's own checkpoints in between; one Disk per round."""
    rng, disks = Random(1), []
    storage = SqliteStorage(path, window_changes=16, compact_every_revisions=COMPACT_EVERY_REVISIONS)
    await storage.start()
    entries: dict[str, Entry] = {}
    for number in range(ROUNDS):
        names = [f"{PREFIX}default/c{each}" for each in rng.sample(range(12), 4)]
        value = {"metadata": {}, "number": number, "data": "x" * rng.choice((10, 2_000, 100_000))}
        deleted = [key for key in names if key in entries and rng.random() < 0.3]
        written = [key for key in names if key not in deleted]
        answers = await asyncio.gather(*(_write(storage, key, entries.get(key), value) for key in written))
        await asyncio.gather(*(storage.delete(key, entries[key].revision) for key in deleted))
        entries.update(zip(written, answers, strict=True))
        for key in deleted:
            del entries[key]
        log = path.with_name(path.name + "-wal").read_bytes()
        numbers = {key: entry.value["number"] for key, entry in entries.items()}
        disks.append(Disk(path.read_bytes(), log, storage.revision, numbers))
    await storage.close()
    return disks


async def _write(storage: SqliteStorage, key: str, known: Entry | None, value: dict[str, object]) -> Entry:
    return await (storage.create(key, value) if known is None else storage.update(key, value, known.revision))


def torn(before: bytes, after: bytes, rng: Random, keep: int = 0) -> bytes:
    """Some sectors of `after`, the others as they were, behind the first `keep` bytes; the end anywhere between both."""
    length = rng.choice(
        (max(len(before), len(after)), len(after), rng.randint(min(len(before), len(after)), len(after)))
    )
    share, found = rng.choice((0.1, 0.5, 0.9)), bytearray(after[:keep])
    for start in range(0, length, SECTOR):
        source = after if rng.random() < share or start >= len(before) else before
        sector = source[start : start + SECTOR].ljust(min(SECTOR, length - start), b"\0")
        found[max(start, keep) : start + SECTOR] = sector[max(keep - start, 0) :]
    return bytes(found[:length])


def found_after(before: Disk, after: Disk, rng: Random) -> tuple[bytes, bytes]:
    """What lies on a disk that lost its power between two acknowledgements."""
    began_anew = before.log[:LOG_HEADER] != after.log[:LOG_HEADER]
    if began_anew:  # then SQLite had synced the database before, and the log's new header
        return after.database, torn(before.log, after.log, rng, keep=LOG_HEADER)
    return torn(before.database, after.database, rng), torn(before.log, after.log, rng)


async def reopened(folder: Path, database: bytes, log: bytes) -> tuple[int, dict[str, int]]:
    path = folder / "storage.db"
    for file in folder.iterdir():
        file.unlink()
    path.write_bytes(database)
    path.with_name(path.name + "-wal").write_bytes(log)
    storage = SqliteStorage(path)
    await storage.start()
    try:
        return storage.revision, {entry.key: entry.value["number"] for entry in storage.list(PREFIX)}
    finally:
        await storage.close()


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> list[Disk]:
    recorded = asyncio.run(record(tmp_path_factory.mktemp("whole") / "storage.db"))
    assert any(a.log[:LOG_HEADER] != b.log[:LOG_HEADER] for a, b in itertools.pairwise(recorded))
    return recorded


def agrees(found: dict[str, int], before: Disk, after: Disk) -> bool:
    """Every key is as it was acknowledged, or as the round that was under way made it."""
    keys = set(found) | set(before.numbers) | set(after.numbers)
    return all(found.get(key) in (before.numbers.get(key), after.numbers.get(key)) for key in keys)


async def test_a_torn_write_ahead_log(disks: list[Disk], tmp_path: Path) -> None:
    rng = Random(2)
    for before, after in itertools.pairwise(disks):
        for _ in range(2):
            revision, numbers = await reopened(tmp_path, *found_after(before, after, rng))
            assert before.revision <= revision <= after.revision
            assert agrees(numbers, before, after)


async def test_a_truncated_write_ahead_log(disks: list[Disk], tmp_path: Path) -> None:
    """Wherever it ends, what was acknowledged when it was that long is there."""
    first = next(i for i in range(1, len(disks)) if disks[i].log[:LOG_HEADER] != disks[i - 1].log[:LOG_HEADER])
    one_log = disks[:first]
    rng = Random(3)
    for before, after in itertools.pairwise(one_log):
        end = rng.randint(len(before.log), len(after.log))
        revision, numbers = await reopened(tmp_path, before.database, after.log[:end])
        assert before.revision <= revision <= after.revision
        assert agrees(numbers, before, after)


async def test_these_disks_would_show_an_acknowledgement_too_early(disks: list[Disk], tmp_path: Path) -> None:
    """What an acknowledgement before its sync comes to: the same mixtures, asked for the later revision."""
    rng = Random(4)
    lost = 0
    for before, after in itertools.pairwise(disks):
        revision, _ = await reopened(tmp_path, *found_after(before, after, rng))
        lost += revision < after.revision
    assert lost > len(disks) // 4
