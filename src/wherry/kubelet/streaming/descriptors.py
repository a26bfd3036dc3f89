"""Reading and writing non-blocking descriptors from asyncio, without a transport of their own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

READ_BYTES = 32 << 10


async def read(fd: int) -> bytes:
    """What is there, at most READ_BYTES; empty at the end. The end of a terminal is EIO, which is the same."""
    while True:
        try:
            return os.read(fd, READ_BYTES)
        except BlockingIOError:
            await _ready(fd, asyncio.get_running_loop().add_reader, asyncio.get_running_loop().remove_reader)
        except OSError:
            return b""


async def write(fd: int, data: bytes) -> None:
    """All of it. Raises OSError (BrokenPipeError when nobody reads any more)."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await _ready(fd, asyncio.get_running_loop().add_writer, asyncio.get_running_loop().remove_writer)


async def _ready(fd: int, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
    ready = asyncio.get_running_loop().create_future()
    add(fd, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        remove(fd)
