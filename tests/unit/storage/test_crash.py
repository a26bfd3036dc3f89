"""Real kills: whatever was acknowledged is there afterwards, once, and revisions only rise."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import TypeAlias

from wherry.storage.interface import Entry
from wherry.storage.sqlite import SqliteStorage

CHILD = Path(__file__).with_name("crash_child.py")
Acknowledged: TypeAlias = tuple[str, str, int, int]
"""key, "set" or "gone", number, revision."""
PREFIX = "/registry/core/configmaps/"


COMPACTION_STATEMENTS = 6


def write_and_kill(path: Path, seed: int) -> list[Acknowledged]:
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
    return _acknowledged(lines)


def write_and_die(path: Path, seed: int, statement: int) -> list[Acknowledged]:
    """… before it died in a compaction."""
    child = subprocess.run([sys.executable, CHILD, path, str(seed), str(statement)], stdout=subprocess.PIPE, timeout=60)
    assert child.returncode == -signal.SIGKILL
    return _acknowledged(child.stdout.splitlines(keepends=True))


def _acknowledged(lines: list[bytes]) -> list[Acknowledged]:
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


def all_is_there(path: Path, acknowledged: list[Acknowledged], newest: int) -> int:
    """The newest revision after the kill; `newest` was it before."""
    revisions = [revision for *_, revision in acknowledged]
    assert len(set(revisions)) == len(revisions)
    assert min(revisions) > newest, "no revision is given twice, not even by another process"
    revision, entries = asyncio.run(reopened(path))
    assert revision >= max(revisions)
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
    return revision


def test_every_acknowledged_write_survives_a_kill(tmp_path: Path) -> None:
    path, newest = tmp_path / "storage.db", 0
    for seed in range(6):
        newest = all_is_there(path, write_and_kill(path, seed), newest)


def test_a_kill_at_any_point_of_a_compaction_loses_nothing(tmp_path: Path) -> None:
    path, newest = tmp_path / "storage.db", 0
    for statement in range(COMPACTION_STATEMENTS + 1):
        newest = all_is_there(path, write_and_die(path, statement, statement), newest)
