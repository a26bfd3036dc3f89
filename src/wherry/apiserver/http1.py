"""HTTP/1.1 requests out of bytes: a reader without I/O, and the heads of answers.

Rule 1: everything that decides where a request ends lives in this file. Whatever is ambiguous (two lengths, a length and
chunks, a folded header) is refused, never guessed.
Rule 2: this file knows nothing of connections. Bytes go in by `feed`, whole requests come out of `next`.
A body larger than the limit is not kept: its request comes out at once with `too_large`, the rest is skipped.
Source: RFC 9110 and 9112. Why not aiohttp's server here: it takes two tasks per request, answers unknown methods and bad
heads with text of its own, and cannot hand over a connection that upgrades to SPDY.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

HEAD_BYTES_MAX = 1 << 20
"""Go's default, which kube-apiserver keeps; label selectors of thousands of values fit."""
HEADERS_MAX = 256
REPEATED = "\n"
"""Joins the values of a header that came several times; no value can contain it."""
_REMEMBERED_HEADS = 64
"""Per connection: a client that polls sends the same few heads again and again."""
STREAMED_BYTES_MIN = 256 << 10
"""A shorter body is read whole, whoever it is for: it can be sent again."""
_ALL_THE_REST = 1 << 62
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[^\x00\r\n]*")
_TARGET = re.compile(rb"[\x21-\x7e\x80-\xff]+")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class ProtocolError(Exception):
    """What came is no HTTP; `status` 400, 431, 501 or 505. Nothing on this connection can be trusted any more."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Head(Struct):
    """Request line and headers; header names in lower case. `memo` belongs to whoever serves the head again."""

    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    keep_alive: bool
    length: int = 0
    """Of the body, when not chunked."""
    chunked: bool = False
    upgrade: bool = False
    memo: Any = None


class Incoming(Struct):
    """One whole request."""

    head: Head
    body: bytes = b""
    too_large: bool = False
    streamed: bool = False
    """The body follows, piece by piece."""


class _Chunks(Struct):
    """A chunked body on its way."""

    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    left: int = -1
    """Bytes to come of the current chunk and its line end; -1: a size line is next, -2: trailers are."""


class RequestReader:
    """The requests of one connection, in order."""

    def __init__(self, body_bytes_max: int, streams: Callable[[Head], bool] = lambda head: False) -> None:
        """`streams`: whose long bodies come piece by piece instead of whole."""
        self._limit = body_bytes_max
        self._streams = streams
        self._left = 0
        """Bytes to come of a streamed body with a length."""
        self._buffer = b""
        self._head: Head | None = None
        self._chunks: _Chunks | None = None
        self._skip = 0
        self._heads: dict[bytes, Head] = {}

    def feed(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    @property
    def waits_for_body(self) -> Head | None:
        """The head of a request whose body is not complete."""
        return self._head

    @property
    def is_idle(self) -> bool:
        """Between two requests, nothing begun."""
        return self._head is None and not self._buffer and not self._skip

    def rest(self) -> bytes:
        """What followed an upgrade request; the reader is of no use after that."""
        data, self._buffer = self._buffer, b""
        return data

    def known(self, data: bytes) -> Head | None:
        """The head that exactly these bytes are, if it was seen before and has no body."""
        return self._heads.get(data)

    def next(self) -> Incoming | None:
        """The next whole request, None when more bytes are needed. Raises ProtocolError."""
        if self._skip:
            skipped = min(self._skip, len(self._buffer))
            self._buffer = self._buffer[skipped:]
            self._skip -= skipped
            if self._skip:
                return None
        if self._head is None and not self._read_head():
            return None
        head = self._head
        assert head is not None
        if (head.chunked or head.length > STREAMED_BYTES_MIN) and self._streams(head):
            self._left = head.length
            return Incoming(head, streamed=True)
        if head.chunked:
            return self._read_chunks(head)
        if not head.length:
            self._head = None
            return Incoming(head)
        if head.length > self._limit:
            self._head = None
            self._skip = max(0, head.length - len(self._buffer))
            self._buffer = self._buffer[head.length :]
            return Incoming(head, too_large=True)
        if len(self._buffer) < head.length:
            return None
        self._head = None
        body, self._buffer = self._buffer[: head.length], self._buffer[head.length :]
        return Incoming(head, body)

    def next_piece(self) -> bytes | None:
        """More of a streamed body, b"" at its end, None when more bytes are needed. Raises ProtocolError."""
        head = self._head
        assert head is not None
        if not head.chunked:
            piece, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
            self._left -= len(piece)
            if piece or self._left:
                return piece or None
            self._head = None
            return b""
        chunks = self._chunks = self._chunks or _Chunks()
        while True:
            if chunks.left > 2:
                size = chunks.left - 2
                piece, self._buffer = self._buffer[:size], self._buffer[size:]
                chunks.left -= len(piece)
                return piece or None
            if chunks.left == 2:
                if len(self._buffer) < 2:
                    return None
                if not self._buffer.startswith(b"\r\n"):
                    raise ProtocolError(400, "malformed chunked encoding")
                self._buffer = self._buffer[2:]
                chunks.left = -1
            line = self._chunk_line()
            if line is None:
                return None
            if chunks.left != -2:
                size = _chunk_size(line)
                chunks.left = size + 2 if size else -2
            elif not line:
                self._head = self._chunks = None
                return b""

    def _chunk_line(self) -> bytes | None:
        """A size line or a trailer, None when it is not whole yet."""
        line, found, after = self._buffer.partition(b"\r\n")
        if not found:
            if len(line) > 1024:
                raise ProtocolError(400, "malformed chunked encoding")
            return None
        self._buffer = after
        return line

    def _read_head(self) -> bool:
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):  # RFC 9112 2.2: an empty line before a request is overlooked
            buffer = self._buffer = buffer.lstrip(b"\r\n")
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > HEAD_BYTES_MAX:
                raise ProtocolError(431, "Request Header Fields Too Large")
            if b"\n\n" in buffer[:HEAD_BYTES_MAX] or (buffer[:1] and not _TOKEN.match(buffer)):
                raise ProtocolError(400, "malformed HTTP request")
            return False
        if end > HEAD_BYTES_MAX:
            raise ProtocolError(431, "Request Header Fields Too Large")
        raw = buffer[: end + 4]
        head = self._heads.get(raw)
        if head is None:
            head = parse_head(raw)
            if not head.length and not head.chunked and not head.upgrade:
                if len(self._heads) >= _REMEMBERED_HEADS:
                    self._heads.clear()
                self._heads[raw] = head
        self._head = head
        self._buffer = buffer[end + 4 :]
        return True

    def _read_chunks(self, head: Head) -> Incoming | None:
        chunks = self._chunks
        if chunks is None:
            chunks = self._chunks = _Chunks()
        while True:
            if chunks.left >= 0:
                if len(self._buffer) < chunks.left:
                    return None
                data, line_end = self._buffer[: chunks.left - 2], self._buffer[chunks.left - 2 : chunks.left]
                if line_end != b"\r\n":
                    raise ProtocolError(400, "malformed chunked encoding")
                chunks.parts.append(data)
                self._buffer = self._buffer[chunks.left :]
                chunks.left = -1
            line = self._chunk_line()
            if line is None:
                return None
            if chunks.left == -2:
                if line:
                    continue  # a trailer: nothing here uses one
                self._head = self._chunks = None
                return Incoming(head, b"".join(chunks.parts))
            size = _chunk_size(line)
            chunks.size += size
            if chunks.size > self._limit:
                # Where such a body ends is not worth finding out: the connection ends with the answer.
                self._head = self._chunks = None
                head.keep_alive = False
                self._buffer, self._skip = b"", _ALL_THE_REST
                return Incoming(head, too_large=True)
            chunks.left = size + 2 if size else -2


def _chunk_size(line: bytes) -> int:
    digits = line.split(b";", 1)[0].strip()
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", digits):
        raise ProtocolError(400, "malformed chunked encoding")
    return int(digits, 16)


def parse_head(raw: bytes) -> Head:
    """A whole head, its empty line included. Raises ProtocolError."""
    lines = raw[:-4].split(b"\r\n")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not _TARGET.fullmatch(parts[1]):
        raise ProtocolError(400, "malformed HTTP request")
    method, target, version = parts
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise ProtocolError(505 if version.startswith(b"HTTP/") else 400, "unsupported protocol version")
    if len(lines) > HEADERS_MAX:
        raise ProtocolError(431, "Request Header Fields Too Large")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ProtocolError(400, "malformed MIME header line")
        key, text = name.decode("ascii").lower(), value.strip(b" \t").decode("latin-1")
        headers[key] = f"{headers[key]}{REPEATED}{text}" if key in headers else text
    if version == b"HTTP/1.1" and "host" not in headers:
        raise ProtocolError(400, "missing required Host header")
    if REPEATED in headers.get("host", ""):
        raise ProtocolError(400, "too many Host headers")
    return _head(method.decode("ascii"), target.decode(errors="replace"), version == b"HTTP/1.1", headers)


def _head(method: str, target: str, modern: bool, headers: dict[str, str]) -> Head:
    connection = headers.get("connection", "").lower()
    keep_alive = "close" not in connection if modern else "keep-alive" in connection
    if target.startswith(("http://", "https://")):  # absolute form, as proxies send it
        target = "/" + target.split("/", 3)[3] if target.count("/") >= 3 else "/"
    path, _, query_string = target.partition("?")
    if "%" in path and _BROKEN_ESCAPE.search(path):
        raise ProtocolError(400, "invalid URL escape")
    head = Head(method, path, query_string.partition("#")[0], headers, keep_alive)
    head.upgrade = "upgrade" in headers and "upgrade" in connection
    encoding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if encoding is not None:
        if length is not None:
            raise ProtocolError(400, "both Content-Length and Transfer-Encoding are set")
        if encoding.lower() != "chunked":
            raise ProtocolError(501, f"unsupported transfer encoding: {encoding}")
        head.chunked = True
    elif length is not None:
        if not (length.isascii() and length.isdigit() and len(length) < 16):
            raise ProtocolError(400, "bad Content-Length")
        head.length = int(length)
    return head


# -- answers

_PHRASES = {
    100: "Continue", 101: "Switching Protocols", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content",
    301: "Moved Permanently", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 406: "Not Acceptable", 409: "Conflict", 410: "Gone", 413: "Request Entity Too Large",
    415: "Unsupported Media Type", 422: "Unprocessable Entity", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
    503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
}  # fmt: skip
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def answer_head(status: int, headers: list[tuple[str, str]]) -> bytes:
    """Status line, headers, empty line. Header values must be free of line ends: they are made here, not passed on."""
    lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, 'Status')}"]
    for name, value in headers:
        assert value.isprintable(), name
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def passed_head(status: int, phrase: str, fields: list[tuple[str, str]]) -> bytes:
    """The head of somebody else's answer; its fields were read by rules that leave no line ends in them."""
    lines = [f"HTTP/1.1 {status} {phrase or _PHRASES.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
