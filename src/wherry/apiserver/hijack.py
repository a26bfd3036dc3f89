"""A connection that is no longer HTTP, or a body on its way: what the client sends, bounded, and a way to write back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

HIJACKED_BYTES_MAX = 256 << 10
"""Of what the client sent and nobody has read yet; reading from the socket pauses there."""


class Hijacked:
    """`splicing.Connection` over a client's transport, with a bounded buffer of what it sent."""

    def __init__(self, transport: asyncio.Transport, drain: Callable[[], Awaitable[None]]) -> None:
        self._transport = transport
        self._drain = drain
        self._chunks: list[bytes] = []
        self._size = 0
        self._ended = False
        self._paused = False
        self._waiting: asyncio.Future[None] | None = None

    def feed(self, data: bytes | None) -> None:
        """More from the client; b"" is the end, None nothing."""
        if data is None:
            return
        if data:
            self._chunks.append(data)
            self._size += len(data)
            if self._size > HIJACKED_BYTES_MAX and not self._paused and not self._transport.is_closing():
                self._paused = True
                self._transport.pause_reading()
        else:
            self._ended = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def read(self) -> bytes:
        while not self._chunks:
            if self._ended:
                return b""
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        self._transport.write(data)
        await self._drain()

    def close(self) -> None:
        self._transport.close()
