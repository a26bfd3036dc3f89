"""A load of visitors: keep-alive connections that ask one page after another and count every answer that is not 200.

python load.py http://127.0.0.1:30800/ --connections 8 --seconds 10
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

ANSWER_SECONDS = 10.0
PAUSE_SECONDS = 0.05  # after a failure; nobody knocks at a closed door ten thousand times a second


@dataclass
class Result:
    """What happened so far; `problems` counts by what went wrong."""

    seconds: list[float] = field(default_factory=list)
    problems: dict[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return sum(self.problems.values())

    def note(self, problem: str) -> None:
        self.problems[problem] = self.problems.get(problem, 0) + 1

    def percentile(self, share: float) -> float:
        """Seconds within which `share` of the requests were answered."""
        ordered = sorted(self.seconds) or [0.0]
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


async def visit(urls: list[str], headers: dict[str, str], result: Result, stop: asyncio.Event) -> None:
    """One visitor: one connection at a time, the next page as soon as the last has come."""
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    number = 0
    while not stop.is_set():
        url = urlsplit(urls[number % len(urls)])
        number += 1
        begin = time.perf_counter()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                connection = connection or await asyncio.open_connection(url.hostname, url.port or 80)
                status, keep = await _ask(*connection, url.netloc, url.path or "/", headers)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            result.note(type(error).__name__)
            status, keep = 0, False
        if status == 200:
            result.seconds.append(time.perf_counter() - begin)
        elif status:
            result.note(f"status {status}")
        if not keep and connection:
            connection[1].close()
            connection = None
        if status != 200:
            await asyncio.sleep(PAUSE_SECONDS)
    if connection:
        connection[1].close()
        with contextlib.suppress(OSError):
            await connection[1].wait_closed()


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, path: str, headers: dict[str, str]
) -> tuple[int, bool]:
    """Status, and whether the connection may be used again."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    if found.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        await reader.readexactly(int(found["content-length"]))
    return int(head[0].split()[1]), found.get("connection", "").lower() != "close"


@contextlib.asynccontextmanager
async def running(urls: list[str], connections: int, headers: dict[str, str] | None = None) -> AsyncIterator[Result]:
    """Load while the block runs; gives the `Result` that grows."""
    result, stop = Result(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(visit(urls, headers or {}, result, stop))
        try:
            yield result
        finally:
            stop.set()


async def main() -> int:
    parser = argparse.ArgumentParser(description="Load of visitors")
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    async with running(arguments.urls, arguments.connections) as result:
        await asyncio.sleep(arguments.seconds)
    rate = len(result.seconds) / arguments.seconds
    print(f"{len(result.seconds)} answers, {rate:.0f} per second, {result.failed} failed {result.problems or ''}")
    print(f"p50 {result.percentile(0.5) * 1000:.1f} ms, p99 {result.percentile(0.99) * 1000:.1f} ms")
    return 1 if result.failed else 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
