"""Bytes both ways between a client's connection that is no longer HTTP and a server's."""

from __future__ import annotations

import asyncio
from typing import Protocol

COPY_BYTES = 64 << 10


class Connection(Protocol):
    """The client's side of a hijacked connection, as the edge hands it over."""

    async def read(self) -> bytes:
        """The next bytes, b"" at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns when there is room for more."""
        ...

    def close(self) -> None: ...


async def splice(connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the server ends or the client is gone; closing is the caller's."""

    async def upstream() -> None:
        while data := await connection.read():
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    sending = asyncio.create_task(upstream())
    try:
        while data := await reader.read(COPY_BYTES):
            await connection.write(data)
    except ConnectionError:
        pass  # either side is gone: nothing is left to copy
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
