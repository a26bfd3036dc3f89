"""Connections to one server: opened when needed, used for one exchange at a time, kept for the next.

Is not: what is said over them (`http1`) and what it means (`http`). Always true: at most `CONNECTIONS_MAX` are open, at most
`IDLE_MAX` of them idle; a connection whose answer was not read to its end is never used again. A kept connection that the
server closed before our request came is replaced unasked, for requests that may be sent twice, as Go's client does.
"""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import SplitResult

from wherry.client import http1
from wherry.client.http1 import AnswerHead, Wire, WireError

CONNECTIONS_MAX = 256
"""Each informer holds one for its watch; the rest is for requests, which are many only under a load test."""
IDLE_MAX = 32
CONNECT_SECONDS_MAX = 10.0
_TWICE = frozenset(("GET", "HEAD", "PUT", "DELETE"))
"""Idempotent by RFC 9110; of our own requests each names what it changes, and an update the version it saw."""


class Connections:
    """To the host and port of `base`. `context` is None for plain HTTP; `server_name` is what the certificate must name."""

    def __init__(self, base: SplitResult, context: ssl.SSLContext | None, server_name: str | None) -> None:
        assert base.hostname, "a URL names a host"
        self._host, self._port = base.hostname, base.port or (443 if base.scheme == "https" else 80)
        self._context = context
        self._server_name = (server_name or base.hostname) if context is not None else None
        self._free = asyncio.Semaphore(CONNECTIONS_MAX)
        self._idle: list[Wire] = []
        self._busy: set[Wire] = set()
        self._closed = False

    async def send(
        self, method: str, target: str, fields: list[tuple[str, str]], body: bytes
    ) -> tuple[Wire, AnswerHead]:
        """The head of the answer; the wire is the caller's until `give_back`. Raises WireError, OSError, TimeoutError."""
        await self._free.acquire()
        try:
            while True:
                wire = self._take() or await self._open()
                again = wire.used > 0 and method in _TWICE
                self._busy.add(wire)
                try:
                    await wire.send(method, target, fields, body)
                    return wire, await wire.head()
                except (WireError, OSError) as error:
                    self._end(wire)
                    if again and (isinstance(error, OSError) or error.cause == http1.EOF):
                        continue
                    raise
                except BaseException:
                    self._end(wire)
                    raise
        except BaseException:
            self._free.release()
            raise

    def give_back(self, wire: Wire) -> None:
        """The exchange is over, well or not."""
        wire.finish()
        self._free.release()
        if wire.reusable and not self._closed and len(self._idle) < IDLE_MAX:
            self._busy.discard(wire)
            self._idle.append(wire)
        else:
            self._end(wire)

    def close(self) -> None:
        """Every connection, those in use too: their readers see the end of the stream."""
        self._closed = True
        for wire in [*self._idle, *self._busy]:
            self._end(wire)
        self._idle.clear()

    def _take(self) -> Wire | None:
        while self._idle:
            wire = self._idle.pop()
            if not wire.reader.at_eof() and not wire.writer.is_closing():
                return wire
            wire.close()
        return None

    async def _open(self) -> Wire:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            reader, writer = await asyncio.open_connection(
                self._host,
                self._port,
                ssl=self._context,
                server_hostname=self._server_name,
                limit=http1.HEAD_BYTES_MAX,
            )
        return Wire(reader, writer)

    def _end(self, wire: Wire) -> None:
        self._busy.discard(wire)
        wire.close()
