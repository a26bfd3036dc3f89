"""Sessions, logs and pipes of pretended containers."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from wherry.aio.clock import Clock
from wherry.launcher.logs import LineSplitter, LogFile, timestamp


class FakeSession:
    """`ExecSession` of a pretended process."""

    def __init__(
        self, stdin: int | None, stdout: int | None, stderr: int | None, end: Callable[[], Awaitable[int]]
    ) -> None:
        self.stdin: socket.socket | int | None = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.size: tuple[int, int] | None = None
        self.task: asyncio.Future[int] | None = None
        self._end = end

    async def wait(self) -> int:
        return await self._end()

    def resize(self, columns: int, rows: int) -> None:
        self.size = (columns, rows)

    def close_stdin(self) -> None:
        if isinstance(self.stdin, int):
            os.close(self.stdin)
            self.stdin = None

    def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
        for fd in {self.stdin, self.stdout, self.stderr}:
            if isinstance(fd, int):
                os.close(fd)
        self.stdin = self.stdout = self.stderr = None


class Output:
    """A pretended container's output: its log, and whoever is attached."""

    def __init__(self, clock: Clock, path: Path, tees: list[tuple[str, int]]) -> None:
        self._clock = clock
        self._log = LogFile(str(path)) if not path.is_dir() else None
        self._tees = tees
        self._lines = {name: LineSplitter(name) for name in ("stdout", "stderr")}

    def write(self, name: str, data: bytes) -> None:
        now = self._clock.time()
        if self._log is not None:
            self._log.write(self._lines[name].feed(data, timestamp(int(now * 1e9)).encode()), now)
        for stream, fd in self._tees:
            if stream == name:
                write_some(fd, data)

    def close(self) -> None:
        now = self._clock.time()
        for lines in self._lines.values():
            if self._log is not None:
                self._log.write(lines.end(timestamp(int(now * 1e9)).encode()), now)
        if self._log is not None:
            self._log.close()
        for _, fd in self._tees:
            os.close(fd)
        self._tees.clear()


def pipe() -> tuple[int, int]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    return read, write


def write_some(fd: int, data: bytes) -> None:
    try:
        os.write(fd, data)
    except (BlockingIOError, BrokenPipeError):  # a reader that is behind, or has gone, loses it
        pass
