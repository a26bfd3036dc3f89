"""One connection of a client: the way from its bytes to `App.handle` and back.

Theory: a `Connection` reads requests one after the other; a request is served by one task, which the connection owns and
cancels when the client goes away. A GET whose head came before, from the same connection, and whose answer is stored bytes,
is answered without a task (`fast.py`). Answers without an end (watch, logs) are sent item by item in chunks; an upgraded
connection belongs to its handler until that returns.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from wherry.api.errors import StatusError, too_large
from wherry.apiserver import http1, portions
from wherry.apiserver.app import BODY_BYTES_MAX, failure
from wherry.apiserver.auth.client_certificate import certificate_user
from wherry.apiserver.auth.user import User
from wherry.apiserver.compression import GZIP_BYTES_MIN, gzipped, takes_gzip
from wherry.apiserver.compression import HEADERS as GZIP_HEADERS
from wherry.apiserver.filters.request_info import parse_query
from wherry.apiserver.hijack import Hijacked
from wherry.apiserver.http import Answer, Hijack, Passed, Request, Response, Stream
from wherry.apiserver.portions import PIECE_BYTES
from wherry.apiserver.proxying import is_for_a_proxy
from wherry.apiserver.warning_headers import warning_values

if TYPE_CHECKING:
    from wherry.apiserver.edge import Edge

log = logging.getLogger(__name__)
IDLE_SECONDS = 180
"""After which a connection without a request is closed; clients keep theirs for 90."""
ARRIVE_SECONDS = 60
"""How long a request may take to arrive: as long as kube-apiserver gives it altogether."""
STALLED_LOOKS = 4
"""A client that took nothing of an answer between so many looks (two minutes) is let go."""
WRITE_BYTES_HIGH = 64 << 10
"""What may wait for a client before we wait for it; TLS would have half a megabyte, times ten thousand slow watchers."""
LINGER_SECONDS = 0.5
"""Go's net/http waits as long."""
PIPELINED_BYTES_MAX = 256 << 10
"""Of requests sent before the last was answered; reading pauses there."""
_BODILESS = frozenset({204, 304})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._app = edge.app
        self._reader = http1.RequestReader(BODY_BYTES_MAX, is_for_a_proxy)
        self._body: Hijacked | None = None
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set before anything else is called
        self._user: User | None = None
        self._client = ""
        self._tls = False
        self._task: asyncio.Task[None] | None = None
        self._hijacked: Hijacked | None = None
        self._lost = False
        self._active = edge.clock.monotonic()
        self._drained: asyncio.Future[None] | None = None
        self._writable = True
        self._paused = False
        self._continued = False
        self._streaming = False
        self._lingering = False
        self._ended = False
        self._looks = (0, 0)  # how many in a row found so many bytes waiting

    # -- what the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._tls = transport.get_extra_info("sslcontext") is not None  # one closed twice can no longer say
        if not self._edge.admit(self):
            transport.abort()
            return
        transport.set_write_buffer_limits(WRITE_BYTES_HIGH)
        certificate = transport.get_extra_info("peercert")
        if certificate:
            self._user = certificate_user(certificate, transport.get_extra_info("ssl_object").getpeercert(True))
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if isinstance(peer, tuple) else ""

    @property
    def under_way(self) -> bool:
        """Whether a request is coming in or being answered; one that goes on for ever, such as a watch, does not count."""
        lasting = self._streaming or self._hijacked is not None
        return not lasting and (self._task is not None or not self._reader.is_idle)

    def data_received(self, data: bytes) -> None:
        self._edge.exchanged += 1
        if self._lingering:
            return
        if self._task is not None or self._reader.is_idle:  # who sends a request byte by byte is not active
            self._active = self._edge.clock.monotonic()
        if self._hijacked is not None:
            self._hijacked.feed(data)
            return
        if self._task is None and self._reader.is_idle:
            head = self._reader.known(data)
            if head is not None and head.memo is not None and self._writable:
                answer = self._edge.fast.answer(head.memo, self._edge.date())
                if answer is not None:
                    if type(answer) is bytes:
                        self._transport.write(answer)
                    else:
                        portions.write(self._transport, *answer)
                    return
        self._reader.feed(data)
        if self._body is not None:
            self._pump(self._body)
        elif self._task is None:
            self._next()
        elif self._reader.buffered > PIPELINED_BYTES_MAX and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client will send no more. True keeps the connection to answer what it sent; TLS has no such half."""
        half_open = not self._tls
        self._ended = True
        if self._hijacked is not None:
            self._hijacked.feed(b"")
            return half_open
        if self._body is not None and self._task is not None:
            self._task.cancel()  # half a body must not look like a whole one
        if self._task is None and not self._reader.is_idle and not self._lingering:
            self._refuse(400, "unexpected EOF")
        return half_open and self._task is not None and not self._streaming

    def connection_lost(self, error: Exception | None) -> None:
        self._edge.connections.discard(self)
        self._lost = True
        if self._hijacked is not None:
            self._hijacked.feed(b"")
        if self._task is not None:
            self._task.cancel()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # -- requests

    def _next(self) -> None:
        """Begin with the next whole request, if there is one."""
        try:
            incoming = self._reader.next()
        except http1.ProtocolError as error:
            self._refuse(error.status, str(error))
            return
        if incoming is not None:
            self._continued = False
            if incoming.streamed:
                self._body = Hijacked(self._transport, self._drain)
                if incoming.head.headers.get("expect", "").lower() == "100-continue":
                    self._transport.write(http1.CONTINUE)
            self._task = asyncio.get_running_loop().create_task(self._serve(incoming))
            return
        head = self._reader.waits_for_body
        if head is not None and not self._continued and head.headers.get("expect", "").lower() == "100-continue":
            self._continued = True
            self._transport.write(http1.CONTINUE)

    def _pump(self, body: Hijacked) -> None:
        """What came of a streamed body goes to whoever reads it."""
        try:
            while (piece := self._reader.next_piece()) is not None:
                body.feed(piece)
                if not piece:
                    self._body = None
                    return
        except http1.ProtocolError:
            self._transport.abort()

    async def _serve(self, incoming: http1.Incoming) -> None:
        head = incoming.head
        keep_alive = head.keep_alive
        try:
            request = self._request(incoming)
            if self._body is not None:
                request.stream = self._body
                self._pump(self._body)
            if incoming.too_large:
                answer: Answer = failure(request, too_large(BODY_BYTES_MAX))
            else:
                answer = await self._app.handle(request)
            if isinstance(answer, Response):
                self._edge.fast.learn(head, request, answer)
                if answer.data is not None and len(answer.data) >= GZIP_BYTES_MIN and takes_gzip(head.headers):
                    answer = replace(answer, data=await gzipped(answer.data), headers=answer.headers | GZIP_HEADERS)
                await self._write_whole(request, answer, keep_alive)
            elif isinstance(answer, Stream):
                await self._write_stream(request, answer)
            elif isinstance(answer, Passed):
                await self._write_passed(request, answer, keep_alive)
            else:
                keep_alive = False
                await self._hijack(request, answer)
        except ConnectionError:
            keep_alive = False
        except asyncio.CancelledError:
            if not self._lost:  # a lost TLS transport of CPython 3.11 fails when it is aborted once more
                self._transport.abort()
            raise
        except Exception:
            log.exception("%s %s could not be answered", head.method, head.path)
            keep_alive = False
        finally:
            self._task = None
        if self._body is not None or (incoming.too_large and not keep_alive):
            self._linger()  # not all of the body was wanted
        elif not keep_alive or self._ended:
            self._transport.close()
        elif not self._transport.is_closing():
            self._go_on()

    def _go_on(self) -> None:
        """The last request is answered: what came meanwhile is next."""
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if not self._reader.is_idle:
            self._next()

    def _request(self, incoming: http1.Incoming) -> Request:
        head = incoming.head
        return Request(
            head.method if head.method in _METHODS else head.method.upper(),
            head.path,
            parse_query(head.query_string) if head.query_string else {},
            head.headers,
            incoming.body,
            head.query_string,
            certificate_user=self._user,
            client=self._client,
        )

    def _refuse(self, status: int, message: str) -> None:
        """Answer something that is no request, and end."""
        error = StatusError(status, "BadRequest" if status < 500 else "InternalError", message)
        request = Request("GET", "/")
        answer = failure(request, error)
        self._transport.write(self._whole_head(request, answer, keep_alive=False) + (answer.data or b""))
        self._linger()

    # -- answers

    def _whole_head(self, request: Request, answer: Response, keep_alive: bool) -> bytes:
        assert answer.data is not None, "an answer on the wire is encoded"
        headers = self._headers(request, answer.content_type, answer.headers)
        if answer.status not in _BODILESS:
            headers.append(("Content-Length", str(len(answer.data))))
        if not keep_alive:
            headers.append(("Connection", "close"))
        return http1.answer_head(answer.status, headers)

    async def _write_whole(self, request: Request, answer: Response, keep_alive: bool) -> None:
        head, data = self._whole_head(request, answer, keep_alive), answer.data or b""
        if request.method == "HEAD" or answer.status in _BODILESS:
            self._transport.write(head)
        elif len(data) <= PIECE_BYTES:
            self._transport.write(head + data)
        else:
            self._transport.write(head)
            view = memoryview(data)
            for start in range(0, len(data), PIECE_BYTES):
                await self._drain()  # a client that takes none of it costs no encrypted copy of it all
                self._transport.write(view[start : start + PIECE_BYTES])
        await self._drain()

    async def _write_stream(self, request: Request, answer: Stream) -> None:
        headers = self._headers(request, answer.content_type, answer.headers)
        headers.append(("Transfer-Encoding", "chunked"))
        self._transport.write(http1.answer_head(answer.status, headers))
        await self._send_items(request, answer.items, chunked=True)

    async def _send_items(self, request: Request, items: AsyncGenerator[bytes, None], chunked: bool) -> None:
        series = request.series
        assert series is not None, "an answer was counted"
        series.lasting += 1
        self._streaming = True
        try:
            async for item in items:
                if item:
                    if b"BOOKMARK" not in item[:24]:  # which is no news
                        self._edge.exchanged += 1
                    self._transport.write(http1.chunk(item) if chunked else item)
                    if not self._writable:
                        await self._drain()
            if chunked:
                self._transport.write(http1.LAST_CHUNK)
        finally:
            self._streaming = False
            series.lasting -= 1
            await items.aclose()

    async def _write_passed(self, request: Request, answer: Passed, keep_alive: bool) -> None:
        names = {name.lower() for name, _ in answer.fields}
        bodiless = request.method == "HEAD" or answer.status in _BODILESS
        chunked = not bodiless and "content-length" not in names
        fields = list(answer.fields)
        if "cache-control" not in names:
            fields.insert(0, ("Cache-Control", "no-cache, private"))
        if "date" not in names:
            fields.append(("Date", self._edge.date().decode()))
        if chunked:
            fields.append(("Transfer-Encoding", "chunked"))
        if not keep_alive:
            fields.append(("Connection", "close"))
        self._transport.write(http1.passed_head(answer.status, answer.phrase, fields))
        await self._send_items(request, answer.items, chunked)

    async def _hijack(self, request: Request, answer: Hijack) -> None:
        connection = self._hijacked = Hijacked(self._transport, self._drain)
        connection.feed(self._reader.rest() or None)
        series = request.series
        assert series is not None, "an answer was counted"
        series.lasting += 1
        try:
            await answer.run(connection)
        finally:
            series.lasting -= 1

    def _headers(self, request: Request, content_type: str, more: dict[str, str]) -> list[tuple[str, str]]:
        headers = [("Cache-Control", "no-cache, private"), ("Date", self._edge.date().decode())]
        if content_type:
            headers.append(("Content-Type", content_type))
        headers += [(name, value) for name, value in more.items() if name != "Cache-Control"]
        if request.flow is not None:
            headers.append(("X-Kubernetes-Pf-Flowschema-Uid", request.flow.schema_uid))
            headers.append(("X-Kubernetes-Pf-Prioritylevel-Uid", request.flow.level.uid))
        if request.warnings:
            headers += [("Warning", value) for value in warning_values(request.warnings)]
        return headers

    async def _drain(self) -> None:
        """Return when the client has taken enough of what was written. Raises ConnectionError when it is gone."""
        if self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        if self._writable:
            return
        self._drained = asyncio.get_running_loop().create_future()
        try:
            await self._drained
        finally:
            self._drained = None

    # -- ending

    def _linger(self) -> None:
        """Close a little later: a connection closed with unread bytes is reset, and the client never sees the answer."""
        if self._transport.is_closing() or self._ended:
            self._transport.close()
            return
        self._lingering = True
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.close)

    def look_after(self, now: float) -> None:
        """Asked from time to time: end what nobody uses, what never arrives whole, and what nobody takes."""
        if self._task is None:
            limit = IDLE_SECONDS if self._reader.is_idle else ARRIVE_SECONDS
            if self._active < now - limit:
                self._transport.close()
            return
        waiting = 0 if self._streaming or self._hijacked is not None else self._transport.get_write_buffer_size()
        looks, before = self._looks
        self._looks = (looks + 1 if waiting and waiting == before else 0, waiting)
        if self._looks[0] >= STALLED_LOOKS:
            self.abort()

    def abort(self) -> asyncio.Task[None] | None:
        """End now; the task is what is left to wait for."""
        task = self._task
        if task is not None:
            task.cancel()
        self._transport.abort()
        return task
