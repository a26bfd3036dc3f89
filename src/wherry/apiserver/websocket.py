"""A stream of events over WebSocket, for clients that cannot read a chunked answer: one text frame per event.

Is: the server's half of RFC 6455 as a watch needs it: what the client sends is read only to notice pings and the end. Is
not: exec and its channels; those frames are the kubelet's business. Always true: a frame larger than `FRAME_BYTES_MAX`, or
an unmasked one, ends the connection.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import struct
from collections.abc import AsyncGenerator, Iterator, Mapping

from wherry.api.errors import bad_request
from wherry.apiserver.http import Hijack, Request
from wherry.apiserver.splicing import Connection

FRAME_BYTES_MAX = 64 << 10
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, 1.3."""


class ProtocolError(Exception):
    """What came is no frame of a client."""


def is_asked_for(headers: Mapping[str, str]) -> bool:
    return headers.get("upgrade", "").lower() == "websocket" and "upgrade" in headers.get("connection", "").lower()


def stream(request: Request, items: AsyncGenerator[bytes, None]) -> Hijack:
    """The events of `items` over the request's connection. Raises 400 for a handshake that is none."""
    head = handshake(request.headers)

    async def run(connection: Connection) -> None:
        await connection.write(head)
        listening = asyncio.create_task(_listen(connection))
        sending = asyncio.create_task(_send(connection, items))
        try:
            await asyncio.wait((listening, sending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
            sending.cancel()
            await asyncio.gather(listening, sending, return_exceptions=True)
            await items.aclose()
            connection.close()

    return Hijack(run)


def handshake(headers: Mapping[str, str]) -> bytes:
    """The answer to an upgrade request. A single subprotocol that was offered is taken."""
    key = headers.get("sec-websocket-key", "")
    try:
        valid = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        valid = False
    if not valid or headers.get("sec-websocket-version") != "13":
        raise bad_request("the WebSocket handshake needs a Sec-WebSocket-Key of 16 bytes and Sec-WebSocket-Version 13")
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {accept}")
    offered = headers.get("sec-websocket-protocol", "")
    if offered and offered.isascii() and not set(offered) & set(",\n "):
        lines.append(f"Sec-WebSocket-Protocol: {offered}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole, unmasked frame."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
    return head + payload


class ClientFrames:
    """Frames out of a client's bytes; no I/O."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(opcode, payload) of each whole frame. Raises ProtocolError."""
        self._buffer += data
        while (found := self._next()) is not None:
            yield found

    def _next(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, at = buffer[1] & 0x7F, 2
        if not buffer[1] & 0x80:
            raise ProtocolError("a client's frame must be masked")
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(buffer) < 2 + width:
                return None
            size, at = int.from_bytes(buffer[2 : 2 + width], "big"), 2 + width
        if size > FRAME_BYTES_MAX:
            raise ProtocolError("the frame is too large")
        if len(buffer) < at + 4 + size:
            return None
        mask, masked = buffer[at : at + 4], buffer[at + 4 : at + 4 + size]
        self._buffer = buffer[at + 4 + size :]
        return buffer[0] & 0x0F, bytes(byte ^ mask[index & 3] for index, byte in enumerate(masked))


async def _listen(connection: Connection) -> None:
    """Until the client is gone or says so."""
    frames = ClientFrames()
    while data := await connection.read():
        try:
            for opcode, payload in frames.feed(data):
                if opcode == _PING:
                    await connection.write(frame(_PONG, payload))
                elif opcode == _CLOSE:
                    await connection.write(frame(_CLOSE, payload[:2]))
                    return
        except ProtocolError:
            await connection.write(frame(_CLOSE, struct.pack("!H", 1002)))
            return


async def _send(connection: Connection, items: AsyncGenerator[bytes, None]) -> None:
    async for item in items:
        await connection.write(frame(_TEXT, item.rstrip(b"\n")))
    await connection.write(frame(_CLOSE, struct.pack("!H", 1000)))
