"""The transport to an API server in another process: HTTPS, over our own HTTP/1.1.

A failure to get an answer is a ConnectionError, an answer of 400 and above a StatusError; neither is tried again here.
Not a library's client, because every node agent would hold ten megabytes of it and start a tenth of a second later.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from wherry.api.errors import StatusError
from wherry.api.types import Obj
from wherry.client.connections import Connections
from wherry.client.http1 import AnswerHead, Wire, WireError
from wherry.client.tls import Pem, client_context
from wherry.client.watch_stream import WatchStream

# The API server ends what takes it a minute; a little more, so that its own answer wins.
ANSWER_SECONDS_MAX = 75.0
# Of an error that is not a Status, this much is worth showing.
ERROR_TEXT_MAX = 2048

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


class HttpTransport:
    """`client.transport.Transport` over HTTP or HTTPS.

    `ca`, `certificate` and `key` are PEM, as bytes or the path of a file; `server_name` is what the server's certificate
    must name when it is not the URL's host. `token` is sent as a bearer token; a function is asked before each request,
    for tokens that are renewed in a file. `on_warning` gets the text of every `Warning: 299` header.
    """

    def __init__(
        self,
        base_url: str,
        *,
        ca: Pem | None = None,
        certificate: Pem | None = None,
        key: Pem | None = None,
        verify: bool = True,
        server_name: str | None = None,
        token: str | Callable[[], str] | None = None,
        user_agent: str = "wherry",
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self._url = base_url.rstrip("/")
        base = urlsplit(self._url)
        self._path = base.path
        self._host = base.netloc.rpartition("@")[2]
        context = client_context(ca, certificate, key, verify=verify) if base.scheme == "https" else None
        self._connections = Connections(base, context, server_name)
        self._token = token
        self._user_agent = user_agent
        self._on_warning = on_warning
        self._closed = False

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Obj:
        data = b"" if body is None else _encode(body)
        typed = [] if body is None else [("Content-Type", content_type)]
        with self._translated():
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                wire, head = await self._send(method, path, query, typed, data)
                try:
                    answer = await _whole(wire, method, head)
                finally:
                    self._connections.give_back(wire)
        if head.status >= 400:
            raise _failure(head, answer)
        if not answer:
            return {}
        try:
            decoded = _decode(answer)
        except msgspec.DecodeError as error:
            raise StatusError(500, "InternalError", f"the server answered something else than JSON: {error}") from error
        assert isinstance(decoded, dict), f"{path} answers an object"
        return decoded

    @asynccontextmanager
    async def stream(self, path: str, *, query: Mapping[str, str] | None = None) -> AsyncIterator[AsyncIterator[Obj]]:
        async with self.read(path, query=query) as pieces:
            yield _events(pieces)

    @asynccontextmanager
    async def read(self, path: str, *, query: Mapping[str, str] | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        """The answer's bytes as they come, without a limit of time: logs, watches."""
        with self._translated():
            wire, head = await self._send("GET", path, query, [], b"")
        try:
            if head.status >= 400:
                with self._translated():
                    async with asyncio.timeout(ANSWER_SECONDS_MAX):
                        answer = await _whole(wire, "GET", head)
                raise _failure(head, answer)
            yield self._pieces(wire, head)
        finally:
            self._connections.give_back(wire)

    async def close(self) -> None:
        """Close every connection; open streams end with ConnectionError."""
        self._closed = True
        self._connections.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        fields: list[tuple[str, str]],
        body: bytes,
    ) -> tuple[Wire, AnswerHead]:
        """The head of an answer, whose body is still to be read."""
        if self._closed:
            raise ConnectionError("the transport is closed")
        target = self._path + quote(path, safe="/:@!$&'()*+,;=~")
        if query:
            target += "?" + urlencode(query, safe="(),:/!")
        wire, head = await self._connections.send(method, target, [*self._headers(), *fields], body)
        self._hear_warnings(head)
        return wire, head

    async def _pieces(self, wire: Wire, head: AnswerHead) -> AsyncIterator[bytes]:
        pieces = wire.body("GET", head)
        while True:
            with self._translated():
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    if self._closed:
                        raise ConnectionError("the transport is closed") from None
                    return
            yield piece

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What breaks on the way is a ConnectionError."""
        try:
            yield
        except TimeoutError as error:
            raise ConnectionError(f"no answer from {self._url} in time") from error
        except (WireError, OSError) as error:
            raise ConnectionError(f"cannot reach {self._url}: {error}") from error

    def _headers(self) -> list[tuple[str, str]]:
        # Packing costs both sides more than it saves on one machine.
        fields = [
            ("Host", self._host),
            ("Accept", "application/json"),
            ("Accept-Encoding", "identity"),
            ("User-Agent", self._user_agent),
        ]
        token = self._token() if callable(self._token) else self._token
        if token:
            fields.append(("Authorization", f"Bearer {token}"))
        return fields

    def _hear_warnings(self, head: AnswerHead) -> None:
        if self._on_warning is None:
            return
        for name, value in head.fields:
            if name.lower() == "warning":
                for text in _WARNING.findall(value):
                    self._on_warning(re.sub(r"\\(.)", r"\1", text))


async def _whole(wire: Wire, method: str, head: AnswerHead) -> bytes:
    return b"".join([piece async for piece in wire.body(method, head)])


async def _events(pieces: AsyncIterator[bytes]) -> AsyncIterator[Obj]:
    stream = WatchStream()
    async for piece in pieces:
        for event in stream.feed(piece):
            yield event
    stream.finish()


def _failure(head: AnswerHead, body: bytes) -> StatusError:
    """The Status in the body, or one made of whatever else is there."""
    after = head.get("retry-after")
    headers = {"Retry-After": after} if after else {}
    try:
        status = _decode(body)
    except msgspec.DecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        error = StatusError.from_status({"code": head.status, **status})
        error.headers = headers
        return error
    text = body[:ERROR_TEXT_MAX].decode(errors="replace").strip() or head.phrase or "no reason given"
    return StatusError(head.status, "", f"the server answered {head.status}: {text}", None, headers)
