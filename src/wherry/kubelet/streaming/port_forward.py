"""Port-forward: bytes between a client's streams and connections made inside the pod's network.

SPDY/3.1 (plain, or tunnelled in a WebSocket as SPDY/3.1+portforward.k8s.io)
    for each connection two streams with headers streamtype (error, data), port and requestid
v4.channel.k8s.io / portforward.k8s.io over WebSocket
    for the i-th port channel 2i carries data, 2i+1 errors; each begins with the port as two bytes, little-endian
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import WSMsgType, web

from wherry.cri.interface import RuntimeFailure
from wherry.kubelet.streaming.channels import ChannelError, Framing
from wherry.kubelet.streaming.spdy_connection import SpdyConnection, SpdyStream

Dial = Callable[[int], Awaitable[socket.socket]]
"""dial(port): a connection from inside the pod to its own port. Raises OSError, RuntimeFailure."""

COPY_BYTES = 32 << 10
PAIR_SECONDS = 30.0  # kubelet's streamCreationTimeout


async def serve_spdy(connection: SpdyConnection, dial: Dial) -> None:
    """Until the client goes."""
    waiting: dict[str, SpdyStream] = {}
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(_run(connection))
        forwards: set[asyncio.Task[None]] = set()
        while (stream := await connection.accept()) is not None:
            request = stream.headers.get("requestid", "") or stream.headers.get("port", "")
            other = waiting.pop(request, None)
            if other is None:
                waiting[request] = stream
                continue
            kinds = {each.headers.get("streamtype", ""): each for each in (stream, other)}
            if kinds.keys() != {"data", "error"} or not stream.headers.get("port", "").isdigit():
                await stream.reset()
                await other.reset()
                continue
            task = tasks.create_task(_forward(kinds["data"], kinds["error"], dial))
            forwards.add(task)
            task.add_done_callback(forwards.discard)
        for task in forwards:
            task.cancel()
        running.cancel()


async def _run(connection: SpdyConnection) -> None:
    with contextlib.suppress(ConnectionError):
        await connection.run()


async def _forward(data: SpdyStream, error: SpdyStream, dial: Dial) -> None:
    port = int(data.headers.get("port", "0"))
    try:
        target = await dial(port)
    except (OSError, RuntimeFailure) as failure:
        with contextlib.suppress(ConnectionError):
            await error.write(refusal(port, failure).encode())
            await error.close()
            await data.close()
        return
    loop = asyncio.get_running_loop()

    async def upstream() -> None:
        with contextlib.suppress(OSError):  # seen by the reading side
            while chunk := await data.read():
                await loop.sock_sendall(target, chunk)
            target.shutdown(socket.SHUT_WR)

    sending = asyncio.create_task(upstream())
    try:
        while chunk := await loop.sock_recv(target, COPY_BYTES):
            await data.write(chunk)
        await data.close()
        await error.close()
    except OSError as failure:
        with contextlib.suppress(ConnectionError):
            await error.write(f"error forwarding port {port} to pod: {failure}".encode())
            await error.close()
            await data.reset()
    finally:
        sending.cancel()
        _close(target)


def _close(target: socket.socket) -> None:
    """Close a socket that a cancelled task may still wait for: its number may belong to another one a moment later.

    Waits for nothing, because the client's leaving may cancel us at any moment."""
    loop = asyncio.get_running_loop()
    loop.remove_reader(target)
    loop.remove_writer(target)
    target.close()


def refusal(port: int, failure: Exception) -> str:
    return f"error forwarding port {port} to pod: failed to connect to localhost:{port} inside the pod: {failure}"


async def serve_channels(client: web.WebSocketResponse, ports: Sequence[int], dial: Dial) -> None:
    """The channel protocol: one connection for each port, made when its first byte comes."""
    framing = Framing(client.ws_protocol or "")
    for index, port in enumerate(ports):
        for channel in (2 * index, 2 * index + 1):
            await _send(client, framing, channel, port.to_bytes(2, "little"))
    links = [_Link(client, framing, 2 * index, port, dial) for index, port in enumerate(ports)]
    try:
        async for message in client:
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                break
            try:
                channel, data = framing.split(message.data)
            except ChannelError:
                break
            if channel % 2 == 0 and channel // 2 < len(links):
                await links[channel // 2].feed(data)
    finally:
        for link in links:
            link.close()


class _Link:
    """One port of the channel protocol."""

    def __init__(self, client: web.WebSocketResponse, framing: Framing, channel: int, port: int, dial: Dial) -> None:
        self._client = client
        self._framing = framing
        self._channel = channel
        self._port = port
        self._dial = dial
        self._target: socket.socket | None = None
        self._reading: asyncio.Task[None] | None = None

    async def feed(self, data: bytes) -> None:
        """Raises nothing for what the pod does wrong: the error channel says it."""
        loop = asyncio.get_running_loop()
        try:
            if self._target is None:
                self._target = await self._dial(self._port)
                self._reading = asyncio.create_task(self._copy(self._target))
            await loop.sock_sendall(self._target, data)
        except (OSError, RuntimeFailure) as failure:
            await self._fail(failure)

    async def _copy(self, target: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(target, COPY_BYTES):
                await _send(self._client, self._framing, self._channel, data)
        except OSError as failure:
            await self._fail(failure)
            return
        # The protocol cannot close one channel: the end of the only connection is the end of the session.
        await self._client.close()

    async def _fail(self, failure: Exception) -> None:
        with contextlib.suppress(ConnectionError):
            await _send(self._client, self._framing, self._channel + 1, refusal(self._port, failure).encode())

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        if self._target is not None:
            _close(self._target)


async def _send(client: web.WebSocketResponse, framing: Framing, channel: int, data: bytes) -> None:
    message = framing.encode(channel, data)
    if isinstance(message, str):
        await client.send_str(message)
    else:
        await client.send_bytes(message)
