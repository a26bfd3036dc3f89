"""SPDY streams as asyncio objects, over anything that carries bytes: a hijacked connection or WebSocket messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from wherry.kubelet.streaming import spdy

STREAM_BYTES_MAX = 1 << 20
"""What may wait unread in one stream. When it is full nothing more is read from the connection: its other streams wait
too, as they do in every implementation without windows."""

Write = Callable[[bytes], Awaitable[None]]


class SpdyStream:
    """One stream. Reading is for one reader."""

    def __init__(self, connection: SpdyConnection, number: int, headers: Mapping[str, str]) -> None:
        self.number = number
        self.headers = headers
        self._connection = connection
        self._chunks: list[bytes] = []
        self._size = 0
        self._ended = False
        self._sent_fin = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def read(self) -> bytes:
        """What has come; empty at the end."""
        while not self._chunks and not self._ended:
            self._news.clear()
            await self._news.wait()
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        self._room.set()
        return data

    async def write(self, data: bytes) -> None:
        if not self._sent_fin:
            self._connection.session.send(self.number, data)
            await self._connection.flush()

    async def close(self) -> None:
        """Nothing more will be written."""
        if not self._sent_fin:
            self._sent_fin = True
            self._connection.session.send(self.number, b"", fin=True)
            self._connection.release(self)
            await self._connection.flush()

    async def reset(self) -> None:
        self._sent_fin = True
        self._connection.session.reset(self.number)
        self.end()
        self._connection.release(self)
        await self._connection.flush()

    @property
    def is_over(self) -> bool:
        return self._ended and self._sent_fin

    def feed(self, data: bytes) -> None:
        if data:
            self._chunks.append(data)
            self._size += len(data)
            if self._size >= STREAM_BYTES_MAX:
                self._room.clear()
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._room.set()
        self._news.set()

    async def wait_room(self) -> None:
        await self._room.wait()


class SpdyConnection:
    """`run` reads until the peer goes; `accept` gives the streams it opens, each already replied to."""

    def __init__(self, source: AsyncIterator[bytes], write: Write) -> None:
        self.session = spdy.Session()
        self._source = source
        self._write = write
        self._writing = asyncio.Lock()
        self._streams: dict[int, SpdyStream] = {}
        self._opened: asyncio.Queue[SpdyStream | None] = asyncio.Queue()

    async def run(self) -> None:
        """Returns when the peer has gone. Raises spdy.SpdyError."""
        try:
            async for data in self._source:
                for event in self.session.receive(data):
                    await self._handle(event)
                await self.flush()
        finally:
            for stream in list(self._streams.values()):
                stream.end()
            self._opened.put_nowait(None)

    async def accept(self) -> SpdyStream | None:
        """The next stream the peer opens; None when it has gone."""
        return await self._opened.get()

    async def flush(self) -> None:
        async with self._writing:
            data = self.session.data_to_send()
            if data:
                await self._write(data)

    def release(self, stream: SpdyStream) -> None:
        """Forget a stream that both sides have ended."""
        if stream.is_over:
            self._streams.pop(stream.number, None)
            self.session.forget(stream.number)

    async def _handle(self, event: spdy.Event) -> None:
        if isinstance(event, spdy.StreamOpened):
            stream = self._streams[event.stream] = SpdyStream(self, event.stream, event.headers)
            self.session.reply(event.stream)
            if event.fin:
                stream.end()
            self._opened.put_nowait(stream)
            return
        if isinstance(event, spdy.GoneAway | spdy.ReplyReceived):
            return
        found = self._streams.get(event.stream)
        if found is None:
            return  # of a stream that is over here: its last frames may still be on their way
        if isinstance(event, spdy.DataReceived):
            found.feed(event.data)
            if event.fin:
                found.end()
            await found.wait_room()
        else:
            found.end()
        self.release(found)
