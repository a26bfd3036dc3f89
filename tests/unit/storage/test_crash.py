"""Real kills: whatever was acknowledged is there afterwards, once, and revisions only rise."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from random import Random

from wherry.storage.interface import Entry
from wherry.storage.sqlite import SqliteStorage

CHILD = Path(__file__).with_name("crash_child.py")
PREFIX = "/registry/core/configmaps/"


def write_and_kill(path: Path, seed: int) -> list[tuple[str, str, int, int]]:
    """What a child acknowledged before it was killed, at a moment that the seed chooses."""
    child = subprocess.Popen([sys.executable, CHILD, path, str(seed)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    lines = []
    try:
        lines += [child.stdout.readline() for _ in range(Random(seed).randrange(1, 400))]
    finally:
        child.kill()
        lines += child.stdout.readlines()
        child.stdout.close()
        child.wait()
    acknowledged = []
    for line in lines:
        if line.endswith(b"\n"):
            key, kind, number, revision = line.decode().split()
            acknowledged.append((key, kind, int(number), int(revision)))
    assert acknowledged, "the child never wrote"
    return acknowledged


async def reopened(path: Path) -> tuple[int, list[Entry]]:
    storage = SqliteStorage(path)
    await storage.start()
    try:
        return storage.revision, list(storage.list(PREFIX))
    finally:
        await storage.close()


def test_every_acknowledged_write_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "storage.db"
    newest = 0
    for seed in range(6):
        acknowledged = write_and_kill(path, seed)
        revisions = [revision for *_, revision in acknowledged]
        assert len(set(revisions)) == len(revisions)
        assert min(revisions) > newest, "no revision is given twice, not even by another process"
        revision, entries = asyncio.run(reopened(path))
        assert revision >= max(revisions)
        newest = revision
        stored = {entry.key: entry for entry in entries}
        assert len(stored) == len(entries)
        last = {key: (kind, number, at) for key, kind, number, at in acknowledged}
        for key, (kind, number, at) in last.items():
            entry = stored.get(key)
            # The last acknowledged state, or the one write after it that was on its way.
            if entry is None:
                assert kind == "gone" or revision > at
            else:
                assert entry.value["number"] in (number, number + 1)
                assert entry.revision >= at
                assert kind == "set" or entry.value["number"] == number + 1
