"""`outward.Outward` over real connections: Services of this cluster by their ready endpoints, other https addresses by name.

Theory: a connection is opened for (place, trust, who we are), used for one exchange at a time and kept for the next one.
A kept connection the server has closed meanwhile is replaced once, unasked, as Go's client does. Always true: at most
`IDLE_MAX` connections are kept, none longer than `IDLE_SECONDS`; a call that is cancelled closes its connection.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from wherry.aio.clock import Clock
from wherry.api.errors import StatusError
from wherry.apiserver import backends
from wherry.apiserver.dialing import Dialer
from wherry.apiserver.http import Body
from wherry.apiserver.outward import REPLY_BYTES_MAX, OutwardError, OutwardTimeout, Reply, Target
from wherry.apiserver.registry.strategy import Reader
from wherry.apiserver.trust import Identity, Trust, problem
from wherry.client import http1
from wherry.client.http1 import AnswerHead, Wire, WireError
from wherry.launcher.protocol import unix_address

CONNECT_SECONDS = 30.0
"""Go's default dialer gives up after as long; whoever calls may have less patience."""
IDLE_MAX = 64
IDLE_SECONDS = 90.0
"""Go's default transport keeps its connections as long."""
AGENT = "kube-apiserver-admission"


class Place(Struct, frozen=True):
    """What a connection is good for."""

    host: str
    port: int
    tls: bool = True
    server_name: str = ""
    ca_bundle: bytes = b""
    insecure: bool = False
    identity: Identity | None = None
    socket: str = ""
    """Path of a Unix socket instead of host and port (a kubelet's)."""


class OutwardClient:
    """One per API server. `close` ends what is kept."""

    def __init__(self, reader: Reader, dialer: Dialer, clock: Clock, rng: random.Random) -> None:
        self._reader = reader
        self._dialer = dialer
        self._clock = clock
        self._rng = rng
        self._trust = Trust()
        self._idle: list[tuple[float, Place, Wire]] = []

    async def request(
        self,
        target: Target,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout: float,
        identity: Identity | None = None,
    ) -> Reply:
        """See `outward.Outward.request`; `identity` is the certificate we show."""
        url = target.base + path
        try:
            async with asyncio.timeout(timeout):
                return await self._exchange(self.place(target, identity), method, url, headers, body)
        except TimeoutError:
            raise OutwardTimeout("context deadline exceeded", method, url) from None
        except StatusError as error:
            raise OutwardError(error.message, method, url) from error
        except WireError as error:
            raise OutwardError(error.cause, method, url) from error

    async def _exchange(
        self, where_to: tuple[Place, str], method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        place, host = where_to
        parts = urlsplit(url)
        where = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fields = [("Host", host), ("Accept-Encoding", "identity")]
        names = {name.lower() for name in headers}
        if "user-agent" not in names:
            fields.append(("User-Agent", AGENT))
        fields += headers.items()
        wire, head = await self.send(place, method, where, fields, body)
        try:
            reply = await _whole(wire, method, head)
        except OSError as error:
            raise OutwardError(f"read tcp: {_words(error)}") from error
        finally:
            self.give_back(place, wire)
        return reply

    def place(self, target: Target, identity: Identity | None = None) -> tuple[Place, str]:
        """(where to connect, value of the Host header). Raises StatusError, OutwardError."""
        if target.url:
            parts = urlsplit(target.url)
            try:
                host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
            except ValueError:  # stored before validation looked, or beyond 65535, which Go finds when it dials
                raise OutwardError(f"dial tcp: address {parts.netloc.rpartition(':')[2]}: invalid port") from None
            tls = parts.scheme == "https"
            return Place(host, port, tls, host, target.ca_bundle, target.insecure, identity), parts.netloc
        found = backends.resolve(self._reader, target.namespace, target.name, target.port, self._rng)
        name = f"{target.name}.{target.namespace}.svc"
        place = Place(found.host, found.port, True, name, target.ca_bundle, target.insecure, identity)
        return place, f"{name}:{target.port}"

    async def send(
        self,
        place: Place,
        method: str,
        where: str,
        fields: list[tuple[str, str]],
        body: bytes,
        kept: bool = True,
    ) -> tuple[Wire, AnswerHead]:
        """Send on a kept connection (if `kept`: it may be sent twice then) or a new one, and read the head of the answer;
        the wire is the caller's then. Raises OutwardError.
        """
        while True:
            wire = (self._take(place) if kept else None) or await self.open(place)
            again = wire.used > 0
            try:
                await wire.send(method, where, fields, body)
                return wire, await wire.head()
            except (WireError, OSError) as error:
                wire.close()
                if again and (isinstance(error, OSError) or error.cause == http1.EOF):
                    continue  # the server had closed it before our request came
                cause = f"read tcp: {_words(error)}" if isinstance(error, OSError) else error.cause
                raise OutwardError(cause) from error
            except BaseException:
                wire.close()
                raise

    async def send_long(
        self, place: Place, method: str, where: str, fields: list[tuple[str, str]], body: Body, length: str
    ) -> tuple[Wire, AnswerHead]:
        """As `send`, with a body that is still on its way. Raises OutwardError."""
        wire = await self.open(place)
        try:
            await wire.begin(method, where, fields, body, length)
            return wire, await wire.head()
        except (WireError, OSError) as error:
            wire.close()
            cause = f"read tcp: {_words(error)}" if isinstance(error, OSError) else error.cause
            raise OutwardError(cause) from error
        except BaseException:
            wire.close()
            raise

    async def open(self, place: Place) -> Wire:
        """A new connection. Raises OutwardError."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await (self._open_socket(place) if place.socket else self._open(place))
        except TimeoutError:
            raise OutwardError(f"dial tcp {place.host}:{place.port}: i/o timeout") from None

    async def _open_socket(self, place: Place) -> Wire:
        try:
            reader, writer = await asyncio.open_unix_connection(unix_address(place.socket), limit=http1.HEAD_BYTES_MAX)
        except OSError as error:
            raise OutwardError(f"dial unix {place.socket}: connect: {_words(error)}") from error
        return Wire(reader, writer)

    async def _open(self, place: Place) -> Wire:
        context = self._trust.context(place.ca_bundle, place.insecure, place.identity) if place.tls else None
        sock = await self._dialer.connect(place.host, place.port)
        try:
            reader, writer = await asyncio.open_connection(
                sock=sock,
                ssl=context,
                server_hostname=place.server_name if context is not None else None,
                limit=http1.HEAD_BYTES_MAX,
            )
        except ssl.SSLError as error:
            sock.close()
            raise OutwardError(problem(error, place.server_name)) from error
        except OSError as error:
            sock.close()
            text = http1.EOF if isinstance(error, ConnectionAbortedError) else f"read tcp: {_words(error)}"
            raise OutwardError(text) from error
        except BaseException:
            sock.close()
            raise
        return Wire(reader, writer)

    def _take(self, place: Place) -> Wire | None:
        self._let_go(self._clock.monotonic() - IDLE_SECONDS)
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index][1] == place:
                wire = self._idle.pop(index)[2]
                if not wire.reader.at_eof() and not wire.writer.is_closing():
                    return wire
                wire.close()
        return None

    def give_back(self, place: Place, wire: Wire) -> None:
        """Keep a connection whose exchange is over, or end it."""
        wire.finish()
        if not wire.reusable:
            wire.close()
            return
        self._idle.append((self._clock.monotonic(), place, wire))
        if len(self._idle) > IDLE_MAX:
            self._idle.pop(0)[2].close()

    def _let_go(self, before: float) -> None:
        while self._idle and self._idle[0][0] < before:
            self._idle.pop(0)[2].close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[2].close()


async def _whole(wire: Wire, method: str, head: AnswerHead) -> Reply:
    pieces: list[bytes] = []
    size = 0
    async for piece in wire.body(method, head):
        size += len(piece)
        if size > REPLY_BYTES_MAX:
            raise OutwardError(f"http: response body too large: limit is {REPLY_BYTES_MAX}")
        pieces.append(piece)
    return Reply(head.status, head.headers, b"".join(pieces))


def _words(error: OSError) -> str:
    if isinstance(error, ConnectionResetError):
        return "connection reset by peer"
    if isinstance(error, BrokenPipeError):
        return "broken pipe"
    return str(error.strerror or error).lower()
