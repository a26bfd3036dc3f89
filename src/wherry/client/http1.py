"""HTTP/1.1 as a client over one connection: send a request, read the answer's head, then its body piece by piece.

Is: what clients of an API server, proxies and aggregation share. Is not: connecting, pooling, redirects. Always true:
`reusable` holds only when the answer was read to its end and neither side asked to close; whatever is ambiguous (two
lengths, both a length and chunks) is an error. Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable
from typing import Protocol

from msgspec import Struct, field

HEAD_BYTES_MAX = 256 << 10
"""Go's client takes a little more than a megabyte; nobody's answer needs a quarter of one."""
PIECE_BYTES = 64 << 10
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([^\r\n]*))?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*)")
EOF = "EOF"


class WireError(Exception):
    """An exchange that got no whole answer; `cause` is what Go's net/http says of it."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Body(Protocol):
    """The body of a request that is still on its way."""

    async def read(self) -> bytes:
        """The next piece; b"" at the end."""
        ...


class AnswerHead(Struct):
    """`fields` in the order they came, names as they were spelled."""

    status: int
    phrase: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    modern: bool = True

    def get(self, name: str) -> str:
        """All values of a header, joined; "" when there is none. `name` in lower case."""
        return ", ".join(value for key, value in self.fields if key.lower() == name)

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name."""
        return {key.lower(): self.get(key.lower()) for key, _ in self.fields}


class Wire:
    """One connection to a server; one exchange after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.used = 0
        self.reusable = False
        self._sending: asyncio.Task[None] | None = None

    async def send(self, method: str, target: str, fields: Iterable[tuple[str, str]], body: bytes = b"") -> None:
        """The whole request. `fields` name the host; framing is ours. Raises OSError."""
        self.reusable = False
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields]
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines) + "\r\n\r\n"
        assert head.count("\n") == len(lines) + 1, "a header with a line end in it"
        self.writer.write(head.encode("latin-1", "replace") + body)
        await self.writer.drain()
        self.used += 1

    async def begin(self, method: str, target: str, fields: Iterable[tuple[str, str]], body: Body, length: str) -> None:
        """A request whose body follows while the answer is read. `length`: its Content-Length, "" for chunks."""
        self.reusable = False
        framing = ("Content-Length", length) if length else ("Transfer-Encoding", "chunked")
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in [*fields, framing])]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))
        self.used += 1
        self._sending = asyncio.create_task(self._follow(body, chunked=not length))

    async def _follow(self, body: Body, chunked: bool) -> None:
        while piece := await body.read():
            self.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await self.writer.drain()
        if chunked:
            self.writer.write(b"0\r\n\r\n")

    async def head(self) -> AnswerHead:
        """The final answer's head: interim answers but 101 are passed over. Raises WireError, OSError."""
        while True:
            found = parse_head(await self._until_empty_line())
            if found.status == 101 or found.status >= 200:
                return found

    async def _until_empty_line(self) -> bytes:
        try:
            return await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise WireError("unexpected EOF" if error.partial else EOF) from None
        except asyncio.LimitOverrunError:
            raise WireError("net/http: server response headers exceeded 262144 bytes; aborted") from None

    async def body(self, method: str, head: AnswerHead) -> AsyncGenerator[bytes, None]:
        """The body, as it comes. Raises WireError, OSError."""
        close = "close" in head.get("connection").lower() or not head.modern
        encoding, length = head.get("transfer-encoding").lower(), head.get("content-length")
        if method == "HEAD" or head.status in (204, 304):
            self.reusable = not close
        elif encoding:
            if encoding != "chunked":
                raise WireError(f'net/http: unsupported transfer encoding: "{encoding}"')
            async for piece in self._chunks():
                yield piece
            self.reusable = not close
        elif length:
            if not (length.isascii() and length.isdigit() and len(length) < 16):
                raise WireError(f'bad Content-Length "{length}"')
            left = int(length)
            while left:
                piece = await self.reader.read(min(left, PIECE_BYTES))
                if not piece:
                    raise WireError("unexpected EOF")
                left -= len(piece)
                yield piece
            self.reusable = not close
        else:
            while piece := await self.reader.read(PIECE_BYTES):
                yield piece

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        while True:
            size_line = (await self._line()).split(b";", 1)[0].strip()
            if not _CHUNK_SIZE.fullmatch(size_line):
                raise WireError("malformed chunked encoding")
            left = int(size_line, 16)
            if not left:
                while await self._line():
                    pass  # trailers: nobody here uses them
                return
            while left:
                piece = await self.reader.read(min(left, PIECE_BYTES))
                if not piece:
                    raise WireError("unexpected EOF")
                left -= len(piece)
                yield piece
            if await self._line():
                raise WireError("malformed chunked encoding")

    async def _line(self) -> bytes:
        try:
            return (await self.reader.readuntil(b"\r\n"))[:-2]
        except asyncio.IncompleteReadError:
            raise WireError("unexpected EOF") from None
        except asyncio.LimitOverrunError:
            raise WireError("malformed chunked encoding") from None

    def finish(self) -> None:
        """The exchange is over; a request that was not sent to its end leaves the connection useless."""
        if self._sending is not None:
            if self._sending.done() and not self._sending.cancelled() and self._sending.exception() is None:
                self._sending = None
                return
            self.reusable = False
            self._sending.cancel()
            self._sending = None

    def close(self) -> None:
        """At once: what was not sent is not wanted."""
        self.finish()
        self.reusable = False
        self.writer.transport.abort()


def parse_head(raw: bytes) -> AnswerHead:
    """Status line and fields, the empty line included. Raises WireError."""
    lines = raw[:-4].split(b"\r\n")
    first = _STATUS_LINE.fullmatch(lines[0])
    if first is None:
        shown = lines[0][:64].decode("latin-1")
        raise WireError(f'malformed HTTP response "{shown}"')
    fields: list[tuple[str, str]] = []
    for line in lines[1:]:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise WireError("malformed MIME header line")
        fields.append((match[1].decode(), match[2].decode("latin-1").strip(" \t")))
    return AnswerHead(int(first[2]), (first[3] or b"").decode("latin-1"), fields, first[1] == b"1")
