"""SPDY/3.1 framing, sans-IO: bytes in, events out; calls in, bytes out.

Enough of "SPDY Protocol Draft 3.1" for what Kubernetes does with it: streams opened by the client with headers, data both
ways, half-close, reset, ping, go-away. Flow control windows are neither kept nor announced: the library on kubectl's side
(moby/spdystream) has none, and the transport below holds back a sender anyway.
Always true: `data_to_send` has everything said so far, in order.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from wherry.kubelet.streaming.spdy_dictionary import DICTIONARY

VERSION = 3
FRAME_BYTES_MAX = 1 << 22  # kubectl sends 32 KiB at a time; the format would allow 16 MiB
HEADER_BYTES_MAX = 64 << 10
DATA_BYTES_MAX = 32 << 10
"""What we send in one frame, so that streams take turns."""
STREAMS_MAX = 4096  # open at once; each costs its peer a header frame, and us a queue

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FLAG_FIN = 1
PROTOCOL_ERROR, REFUSED_STREAM = 1, 3


class SpdyError(ConnectionError):
    """What came is no SPDY/3.1, or more than we take."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    stream: int
    headers: Mapping[str, str]
    """Names in lower case."""
    fin: bool


@dataclass(frozen=True, slots=True)
class ReplyReceived:
    stream: int
    fin: bool


@dataclass(frozen=True, slots=True)
class DataReceived:
    stream: int
    data: bytes
    fin: bool


@dataclass(frozen=True, slots=True)
class StreamReset:
    stream: int
    code: int


@dataclass(frozen=True, slots=True)
class GoneAway:
    """The peer opens no more streams."""


Event = StreamOpened | ReplyReceived | DataReceived | StreamReset | GoneAway


@dataclass(slots=True)
class Session:
    """One end of a connection. Streams of a client are odd, those of a server even."""

    client: bool = False
    _received: bytearray = field(default_factory=bytearray)
    _to_send: bytearray = field(default_factory=bytearray)
    _streams: set[int] = field(default_factory=set)
    _next_stream: int = 0
    _deflate: zlib._Compress = field(init=False)
    _inflate: zlib._Decompress = field(init=False)

    def __post_init__(self) -> None:
        self._next_stream = 1 if self.client else 2
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    # --- what is said --------------------------------------------------------------------------------------------

    def open_stream(self, headers: Mapping[str, str], *, fin: bool = False) -> int:
        stream = self._next_stream
        self._next_stream += 2
        self._streams.add(stream)
        payload = struct.pack(">IIBB", stream, 0, 0, 0) + self._pack_headers(headers)
        self._control(SYN_STREAM, FLAG_FIN if fin else 0, payload)
        return stream

    def reply(self, stream: int, headers: Mapping[str, str] | None = None, *, fin: bool = False) -> None:
        self._control(SYN_REPLY, FLAG_FIN if fin else 0, struct.pack(">I", stream) + self._pack_headers(headers or {}))

    def send(self, stream: int, data: bytes, *, fin: bool = False) -> None:
        """Data, cut into frames; with `fin` this end of the stream is closed after it."""
        pieces = [data[start : start + DATA_BYTES_MAX] for start in range(0, len(data), DATA_BYTES_MAX)] or [b""]
        if not data and not fin:
            return
        for index, piece in enumerate(pieces):
            flags = FLAG_FIN if fin and index == len(pieces) - 1 else 0
            self._to_send += struct.pack(">II", stream & 0x7FFFFFFF, flags << 24 | len(piece)) + piece

    def reset(self, stream: int, code: int = PROTOCOL_ERROR) -> None:
        self._streams.discard(stream)
        self._control(RST_STREAM, 0, struct.pack(">II", stream, code))

    def go_away(self) -> None:
        self._control(GOAWAY, 0, struct.pack(">II", 0, 0))

    def forget(self, stream: int) -> None:
        """Both ends have said all there is: the number is free to be counted no more."""
        self._streams.discard(stream)

    def data_to_send(self) -> bytes:
        data = bytes(self._to_send)
        self._to_send.clear()
        return data

    # --- what is heard -------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Events of the frames that `data` completes. Raises SpdyError."""
        self._received += data
        events: list[Event] = []
        while len(self._received) >= 8:
            first, second = struct.unpack_from(">II", self._received)
            length = second & 0xFFFFFF
            if length > FRAME_BYTES_MAX:
                raise SpdyError(f"a frame of {length} bytes")
            if len(self._received) < 8 + length:
                break
            payload = bytes(self._received[8 : 8 + length])
            del self._received[: 8 + length]
            event = self._frame(first, second >> 24, payload)
            if event is not None:
                events.append(event)
        return events

    def _frame(self, first: int, flags: int, payload: bytes) -> Event | None:
        fin = bool(flags & FLAG_FIN)
        if not first & 0x80000000:
            return DataReceived(first, payload, fin)
        if first >> 16 & 0x7FFF != VERSION:
            raise SpdyError(f"version {first >> 16 & 0x7FFF} instead of {VERSION}")
        try:
            return self._control_frame(first & 0xFFFF, fin, payload)
        except struct.error as error:
            raise SpdyError("a frame ends early") from error

    def _control_frame(self, kind: int, fin: bool, payload: bytes) -> Event | None:
        if kind == SYN_STREAM:
            (stream,) = struct.unpack_from(">I", payload)
            headers = self._unpack_headers(payload[10:])  # also of a refused stream: the compression has a memory
            if len(self._streams) >= STREAMS_MAX:
                self.reset(stream & 0x7FFFFFFF, REFUSED_STREAM)
                return None
            self._streams.add(stream & 0x7FFFFFFF)
            return StreamOpened(stream & 0x7FFFFFFF, headers, fin)
        if kind in (SYN_REPLY, HEADERS):
            (stream,) = struct.unpack_from(">I", payload)
            self._unpack_headers(payload[4:])
            return ReplyReceived(stream & 0x7FFFFFFF, fin) if kind == SYN_REPLY else None
        if kind == RST_STREAM:
            stream, code = struct.unpack_from(">II", payload)
            self._streams.discard(stream & 0x7FFFFFFF)
            return StreamReset(stream & 0x7FFFFFFF, code)
        if kind == PING:
            (number,) = struct.unpack_from(">I", payload)
            if number % 2 == (0 if self.client else 1):
                self._control(PING, 0, payload[:4])  # the peer's: answered with the same number
            return None
        return GoneAway() if kind == GOAWAY else None  # SETTINGS and WINDOW_UPDATE change nothing here

    # --- bytes ---------------------------------------------------------------------------------------------------

    def _control(self, kind: int, flags: int, payload: bytes) -> None:
        self._to_send += struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(payload)) + payload

    def _pack_headers(self, headers: Mapping[str, str]) -> bytes:
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += struct.pack(">I", len(text)) + text
        return self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def _unpack_headers(self, compressed: bytes) -> dict[str, str]:
        try:
            block = self._inflate.decompress(compressed, HEADER_BYTES_MAX)
        except zlib.error as error:
            raise SpdyError(f"a header block does not decompress: {error}") from error
        if self._inflate.unconsumed_tail:
            raise SpdyError("a header block is too large")
        (count,), at = struct.unpack_from(">I", block), 4
        headers: dict[str, str] = {}
        for _ in range(count):
            name, at = _string(block, at)
            value, at = _string(block, at)
            headers[name.lower()] = value.split("\0")[0]
        return headers


def _string(block: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">I", block, at)
    text = block[at + 4 : at + 4 + length]
    if len(text) != length:
        raise SpdyError("a header block ends early")
    return text.decode(errors="replace"), at + 4 + length
