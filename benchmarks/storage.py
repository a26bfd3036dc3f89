"""Storage alone, without an API server: what a write costs beyond SQLite's own fsync, and what reads and watches cost.

`raw` is the least SQLite can do for one durable write: one INSERT per commit into a table with a unique index, no thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from wherry.api.types import Obj
from wherry.storage.sqlite import SqliteStorage

SECONDS = 2.0
WRITERS = (1, 16, 64)
WATCHERS = 100
T = TypeVar("T")
PODS = "/registry/core/pods/"


def pod(name: str) -> Obj:
    """About 1.5 KB of JSON, as a small pod has it."""
    env = [{"name": f"VARIABLE_{number}", "value": "x" * 30} for number in range(20)]
    container = {"name": "main", "image": "shop/cart:1", "env": env, "resources": {"requests": {"cpu": "10m"}}}
    metadata = {"name": name, "namespace": "shop", "labels": {"app": "cart"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


def rows() -> Iterator[tuple[str, ...]]:
    """(name, value, ...) as they are measured; the files lie in the folder for temporary files."""
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as folder:
        raw = _raw(Path(folder) / "raw.db")
        yield "SQLite, INSERT + commit in a loop", f"{raw:.0f}/s"
        for writers in WRITERS:
            rate = asyncio.run(_with_storage(Path(folder) / f"{writers}.db", partial(_writes, writers=writers)))
            yield f"durable creates, {writers} writers", f"{rate:.0f}/s", f"{rate / raw:.2f} of raw"
        yield from asyncio.run(_with_storage(Path(folder) / "read.db", _reads))
        path = Path(folder) / "watch.db"
        written, delivered = asyncio.run(_with_storage(path, _watched))
        yield f"{WATCHERS} watchers of every write", f"{written:.0f} writes/s", f"{delivered:.0f} events/s"
        path = Path(folder) / "start.db"
        asyncio.run(_with_storage(path, partial(_fill, count=10_000)))
        started = time.perf_counter()
        asyncio.run(_with_storage(path, _nothing))
        yield "open with 10,000 objects", f"{(time.perf_counter() - started) * 1000:.0f} ms"


def _raw(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, key TEXT UNIQUE, data BLOB)")
    data = msgspec.json.encode(pod("raw"))
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        connection.execute("INSERT INTO t (key, data) VALUES (?, ?)", (f"{PODS}shop/{count}", data))
        count += 1
    rate = count / (time.perf_counter() - started)
    connection.close()
    return rate


async def _with_storage(path: Path, measure: Callable[[SqliteStorage], Awaitable[T]]) -> T:
    storage = SqliteStorage(path)
    await storage.start()
    try:
        return await measure(storage)
    finally:
        await storage.close()


async def _writes(storage: SqliteStorage, writers: int) -> float:
    started = time.perf_counter()

    async def write(writer: int) -> int:
        count = 0
        while time.perf_counter() - started < SECONDS:
            await storage.create(f"{PODS}shop/{writer}-{count}", pod("w"))
            count += 1
        return count

    counts = await asyncio.gather(*(write(writer) for writer in range(writers)))
    return sum(counts) / (time.perf_counter() - started)


async def _fill(storage: SqliteStorage, count: int) -> None:
    await asyncio.gather(*(storage.create(f"{PODS}shop/{number}", pod(str(number))) for number in range(count)))


async def _reads(storage: SqliteStorage) -> list[tuple[str, ...]]:
    await _fill(storage, 1000)
    revision = storage.revision - 100
    return [
        ("get", _each(lambda: storage.get(f"{PODS}shop/500"))),
        ("list of 1,000", _each(lambda: storage.list(PODS))),
        ("list of 1,000, 100 revisions ago", _each(lambda: storage.list(PODS, revision))),
    ]


def _each(call: Callable[[], object]) -> str:
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS / 4:
        call()
        count += 1
    return f"{(time.perf_counter() - started) / count * 1e6:.1f} µs"


async def _watched(storage: SqliteStorage) -> tuple[float, float]:
    watches = [storage.watch(PODS, 0) for _ in range(WATCHERS)]
    seen = 0

    async def follow(number: int) -> None:
        nonlocal seen
        async for _ in watches[number]:
            seen += 1

    followers = [asyncio.create_task(follow(number)) for number in range(WATCHERS)]
    started = time.perf_counter()
    rate = await _writes(storage, 16)
    elapsed = time.perf_counter() - started
    for watch in watches:
        watch.close()
    await asyncio.gather(*followers)
    return rate, seen / elapsed


async def _nothing(storage: SqliteStorage) -> None:
    """Opening it was all."""
