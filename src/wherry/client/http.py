"""The transport to an API server in another process: HTTPS with aiohttp.

Nothing is tried again here; a failure to get an answer is a ConnectionError, an answer of 400 and above a StatusError.
The session opens with the first request, in the loop of that request.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from wherry.api.errors import StatusError
from wherry.api.types import Obj
from wherry.client.tls import Pem, client_context
from wherry.client.watch_stream import WatchStream

# Each informer holds one connection for its watch; the rest is for requests, which are many only under a load test.
CONNECTIONS_MAX = 256
# The API server ends what takes it a minute; a little more, so that its own answer wins.
ANSWER_SECONDS_MAX = 75.0
CONNECT_SECONDS_MAX = 10.0
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
        self._base = URL(base_url.rstrip("/"))
        self._ssl = client_context(ca, certificate, key, verify=verify) if self._base.scheme == "https" else True
        self._server_name = server_name
        self._token = token
        self._user_agent = user_agent
        self._on_warning = on_warning
        self._session: aiohttp.ClientSession | None = None
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
        data = None if body is None else _encode(body)
        headers = {} if data is None else {"Content-Type": content_type}
        response = await self._send(method, path, query, data=data, headers=headers)
        with self._translated():
            answer = await response.read()
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
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS_MAX)
        response = await self._send("GET", path, query, timeout=timeout)
        try:
            yield self._pieces(response)
        finally:
            response.close()

    async def close(self) -> None:
        """Close every connection; open streams end with ConnectionError."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        *,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> aiohttp.ClientResponse:
        """An answer below 400 with its body still to be read."""
        url = self._base.with_path(self._base.path.rstrip("/") + path)
        if query:
            url = url.with_query(dict(query))
        session = self._connected()
        with self._translated():
            response = await session.request(
                method,
                url,
                headers={**self._headers(), **(headers or {})},
                server_hostname=self._server_name,
                allow_redirects=False,
                **options,
            )
            self._hear_warnings(response)
            if response.status >= 400:
                raise await _failure(response)
        return response

    async def _pieces(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        pieces = response.content.iter_any()
        while True:
            with self._translated():
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    return
            yield piece

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What breaks on the way is a ConnectionError."""
        try:
            yield
        except TimeoutError as error:
            raise ConnectionError(f"no answer from {self._base} in time") from error
        except aiohttp.ClientError as error:
            raise ConnectionError(f"cannot reach {self._base}: {error}") from error

    def _headers(self) -> dict[str, str]:
        # Packing costs both sides more than it saves on one machine.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": self._user_agent}
        token = self._token() if callable(self._token) else self._token
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _connected(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ConnectionError("the transport is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, ssl=self._ssl),
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX, sock_connect=CONNECT_SECONDS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _hear_warnings(self, response: aiohttp.ClientResponse) -> None:
        if self._on_warning is None:
            return
        for header in response.headers.getall("Warning", ()):
            for text in _WARNING.findall(header):
                self._on_warning(re.sub(r"\\(.)", r"\1", text))


async def _events(pieces: AsyncIterator[bytes]) -> AsyncIterator[Obj]:
    stream = WatchStream()
    async for piece in pieces:
        for event in stream.feed(piece):
            yield event
    stream.finish()


async def _failure(response: aiohttp.ClientResponse) -> StatusError:
    """The Status in the body, or one made of whatever else is there."""
    body = await response.read()
    headers = {"Retry-After": response.headers["Retry-After"]} if "Retry-After" in response.headers else {}
    try:
        status = _decode(body)
    except msgspec.DecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        error = StatusError.from_status({"code": response.status, **status})
        error.headers = headers
        return error
    text = body[:ERROR_TEXT_MAX].decode(errors="replace").strip() or response.reason or "no reason given"
    return StatusError(response.status, "", f"the server answered {response.status}: {text}", None, headers)
