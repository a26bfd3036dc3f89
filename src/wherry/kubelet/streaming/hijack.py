"""Takes a connection over from the HTTP server after `101 Switching Protocols`, for protocols aiohttp does not know.

The client sends nothing of the new protocol before it has seen the 101, so no byte can be lost in the HTTP parser.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

READ_BYTES = 64 << 10
WRITE_BYTES_MAX = 256 << 10  # waiting to be sent, before a writer is held back


class HijackedConnection(asyncio.Protocol):
    """Raw bytes both ways. Iterate it to read; `write` waits while the peer is slow."""

    def __init__(self, transport: asyncio.Transport, before: asyncio.BaseProtocol) -> None:
        self._transport = transport
        self._before = before
        self._reader = asyncio.StreamReader(limit=READ_BYTES)
        self._reader.set_transport(transport)
        self._writable = asyncio.Event()
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._reader.feed_data(data)

    def eof_received(self) -> bool:
        self._reader.feed_eof()
        return True

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()
        self._reader.feed_eof()
        self._before.connection_lost(exc)  # the HTTP server's own account of its connections

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self._reader.read(READ_BYTES):
            yield data

    async def write(self, data: bytes) -> None:
        """Raises ConnectionError."""
        if self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._transport.write(data)
        await self._writable.wait()

    def close(self) -> None:
        self._transport.close()


class Taken(web.StreamResponse):
    """What a handler returns for a connection that is not HTTP any more: nothing is written."""

    def __init__(self) -> None:
        super().__init__(status=101)
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


def take_over(request: web.Request, headers: Mapping[str, str]) -> HijackedConnection:
    """Answer 101 with `headers` and take the connection."""
    transport = request.transport
    assert isinstance(transport, asyncio.Transport), "an HTTP/1.1 connection"
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    connection = HijackedConnection(transport, request.protocol)
    transport.set_write_buffer_limits(high=WRITE_BYTES_MAX)
    transport.set_protocol(connection)
    transport.write(f"HTTP/1.1 101 Switching Protocols\r\n{head}\r\n".encode("latin-1"))
    return connection
