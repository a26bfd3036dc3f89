"""What a pretended container runs: coroutines that stand for coreutils."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct, field

from wherry.aio.clock import Clock


class Process(Struct):
    """A pretended process as its program sees it."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    clock: Clock
    write: Callable[[str, bytes], None]
    """(`stdout` or `stderr`, what is printed)."""
    stdin: int | None = None
    signals: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def read(self) -> bytes:
        """Some of stdin; empty at its end, at once without one."""
        if self.stdin is None:
            return b""
        return await read_some(self.stdin)


Program = Callable[[Process], Awaitable[int]]


async def read_some(fd: int) -> bytes:
    """What a non-blocking descriptor has, waiting for it."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return os.read(fd, 64 * 1024)
        except BlockingIOError:
            readable = asyncio.Event()
            loop.add_reader(fd, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(fd)


async def _true(_: Process) -> int:
    return 0


async def _false(_: Process) -> int:
    return 1


async def _sleep(process: Process) -> int:
    """As pid 1 it ignores SIGTERM, like the real one."""
    await process.clock.sleep(float(process.argv[1]))
    return 0


async def _echo(process: Process) -> int:
    process.write("stdout", (" ".join(process.argv[1:]) + "\n").encode())
    return 0


async def _cat(process: Process) -> int:
    while data := await process.read():
        process.write("stdout", data)
    return 0


async def _printenv(process: Process) -> int:
    for name in process.argv[1:]:
        if name not in process.env:
            return 1
        process.write("stdout", (process.env[name] + "\n").encode())
    return 0


async def _pwd(process: Process) -> int:
    process.write("stdout", (process.cwd + "\n").encode())
    return 0


PROGRAMS: Mapping[str, Program] = {
    "true": _true,
    "false": _false,
    "sleep": _sleep,
    "echo": _echo,
    "cat": _cat,
    "printenv": _printenv,
    "pwd": _pwd,
}
