"""Clients of exec and attach: over WebSocket channels, or over SPDY streams."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from aiohttp import WSMsgType, web

from wherry.api.types import Obj
from wherry.kubelet.streaming.channels import (
    ERROR,
    STDERR,
    STDOUT,
    ChannelError,
    Event,
    Framing,
    Input,
    InputClosed,
    terminal_size,
)
from wherry.kubelet.streaming.remote_command import Wanted
from wherry.kubelet.streaming.spdy_connection import SpdyConnection, SpdyStream

STREAMS_SECONDS = 30.0  # kubelet's streamCreationTimeout


class WebSocketRemote:
    """`remote_command.Remote` over WebSocket messages."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._framing = Framing(socket.ws_protocol or "")

    async def open(self) -> None:
        """Clients before v5 wait for a first, empty message on each output channel."""
        for channel in (STDOUT, STDERR, ERROR):
            await self._send(channel, b"")

    async def receive(self) -> Event | None:
        while True:
            message = await self._socket.receive()
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return None
            try:
                event = self._framing.receive(message.data)
            except ChannelError:
                await self._socket.close(code=1002)
                return None
            if event is not None:
                return event

    async def send(self, channel: int, data: bytes) -> None:
        await self._send(channel, data)

    async def finish(self, status: Obj) -> None:
        await self._send(ERROR, json.dumps(status).encode())
        await self._socket.close()

    async def _send(self, channel: int, data: bytes) -> None:
        message = self._framing.encode(channel, data)
        if isinstance(message, str):
            await self._socket.send_str(message)
        else:
            await self._socket.send_bytes(message)


class SpdyRemote:
    """`remote_command.Remote` over one SPDY stream for each channel. `connection.run()` is the caller's."""

    def __init__(self, connection: SpdyConnection, streams: dict[str, SpdyStream]) -> None:
        self._connection = connection
        self._streams = streams
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(maxsize=16)
        self._readers = [asyncio.create_task(self._read(kind)) for kind in ("stdin", "resize") if kind in streams]

    @classmethod
    async def accept(cls, connection: SpdyConnection, wanted: Wanted) -> SpdyRemote | None:
        """Wait for the streams the client opens; None when it goes, or does not open them in time."""
        names = {"error"}
        names |= {name for name in ("stdin", "stdout", "stderr") if getattr(wanted, name)}
        if wanted.tty:
            names.add("resize")
        streams: dict[str, SpdyStream] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STREAMS_SECONDS):
                while not names <= streams.keys():
                    stream = await connection.accept()
                    if stream is None:
                        return None
                    streams[stream.headers.get("streamtype", "")] = stream
                return cls(connection, streams)
        return None

    async def receive(self) -> Event | None:
        return await self._events.get()

    async def gone(self) -> None:
        """The connection is over."""
        await self._events.put(None)

    async def send(self, channel: int, data: bytes) -> None:
        stream = self._streams.get("stdout" if channel == STDOUT else "stderr")
        if stream is not None:
            await stream.write(data)

    async def finish(self, status: Obj) -> None:
        """kubectl reads the error stream to its end, the outputs too; then the connection is closed."""
        for name in ("stdout", "stderr"):
            if name in self._streams:
                await self._streams[name].close()
        await self._streams["error"].write(json.dumps(status).encode())
        await self._streams["error"].close()

    def close(self) -> None:
        for task in self._readers:
            task.cancel()

    async def _read(self, kind: str) -> None:
        stream = self._streams[kind]
        while data := await stream.read():
            if kind == "stdin":
                await self._events.put(Input(data))
                continue
            for size in _json_documents(data):
                event = terminal_size(size)
                if event is not None:
                    await self._events.put(event)
        if kind == "stdin":
            await self._events.put(InputClosed())


def _json_documents(data: bytes) -> list[bytes]:
    """Sizes follow each other, with a newline after each."""
    return [line for line in data.replace(b"}{", b"}\n{").splitlines() if line.strip()]


async def messages(socket: web.WebSocketResponse) -> AsyncIterator[bytes]:
    """The bytes of a WebSocket that carries another protocol."""
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            yield message.data
