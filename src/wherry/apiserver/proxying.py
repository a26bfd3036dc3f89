"""A request handed on to somebody else's server, and the answer handed back: what the proxy subresources and aggregation share.

Is: headers, redirects, streams and upgrades. Is not: choosing the server. Always true: the caller's credentials stay here;
headers that belong to one connection are not passed on; an answer that breaks off ends the client's connection, so that it
never looks whole. Source: RFC 9110 7.6 and what Kubernetes documents of its proxy verb.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct

from wherry.api.errors import StatusError, internal_error
from wherry.apiserver.http import Answer, Hijack, Passed, Request, Response
from wherry.apiserver.http1 import Head
from wherry.apiserver.outward import OutwardError
from wherry.apiserver.outward_client import OutwardClient, Place
from wherry.apiserver.splicing import Connection, splice
from wherry.client.http1 import AnswerHead, Wire, WireError

REPEATED = "\n"
_HOP = frozenset(
    {
        *("connection", "proxy-connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"),
        *("transfer-encoding", "upgrade"),
    }
)
"""RFC 9110 7.6.1, as Go's ReverseProxy has them."""
_OURS = frozenset({"authorization", "host", "content-length", "expect"})
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""May be sent once more when a kept connection turns out to be closed."""
_SAFE_TEXT = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


class Backing(Struct, frozen=True):
    """The server to hand on to. `path` is escaped and begins with "/"; `prefix` is what stands before it on our side."""

    place: Place
    host: str
    path: str
    prefix: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    """Headers of our own, such as who the caller is."""
    without: frozenset[str] = frozenset()
    """Headers of the caller that must not pass (lower case)."""


async def forward(connections: OutwardClient, request: Request, backing: Backing) -> Answer:
    """Raises StatusError: 503 when nobody answers."""
    target = backing.path + (f"?{request.query_string}" if request.query_string else "")
    if "upgrade" in request.headers and "upgrade" in request.headers.get("connection", "").lower():
        return await _upgrade(connections, request, backing, target)
    fields = [("Host", backing.host), *_fields(request, backing)]
    if backing.prefix:
        fields.append(("X-Forwarded-Uri", _SAFE_TEXT.sub("", backing.prefix + backing.path)))
    again = request.method in _IDEMPOTENT
    try:
        if request.stream is not None:
            length = request.headers.get("content-length", "")
            sent = connections.send_long(backing.place, request.method, target, fields, request.stream, length)
        else:
            sent = connections.send(backing.place, request.method, target, fields, request.body, again)
        wire, head = await sent
    except OutwardError as error:
        raise StatusError(503, "ServiceUnavailable", f"error trying to reach service: {error.cause}") from error
    return Passed(
        head.status, head.phrase, _answered(request, backing, head), _body(connections, backing, request, wire, head)
    )


async def _body(
    connections: OutwardClient, backing: Backing, request: Request, wire: Wire, head: AnswerHead
) -> AsyncGenerator[bytes, None]:
    try:
        async for piece in wire.body(request.method, head):
            yield piece
    except (WireError, OSError) as error:
        raise ConnectionResetError(f"the server behind the proxy broke off: {error}") from error
    finally:
        connections.give_back(backing.place, wire)


def _fields(request: Request, backing: Backing, hop: frozenset[str] = _HOP) -> list[tuple[str, str]]:
    """The caller's headers that may pass, the chain of addresses, our own."""
    named = {name.strip().lower() for name in request.headers.get("connection", "").split(",")} if hop else set()
    fields = [
        (name, _SAFE_TEXT.sub("", value))
        for name, values in request.headers.items()
        if name not in _OURS
        and name not in hop
        and name not in named
        and name not in backing.without
        and not name.startswith("impersonate-")
        and name != "x-forwarded-for"
        for value in values.split(REPEATED)
    ]
    before = request.headers.get("x-forwarded-for", "").replace(REPEATED, ", ")
    chain = ", ".join(each for each in (before, request.client) if each)
    if chain:
        fields.append(("X-Forwarded-For", chain))
    return [*fields, *backing.fields]


def _answered(request: Request, backing: Backing, head: AnswerHead) -> list[tuple[str, str]]:
    """The answer's headers as the caller gets them."""
    named = {name.strip().lower() for name in head.get("connection").split(",")}
    fields: list[tuple[str, str]] = []
    for name, value in head.fields:
        key = name.lower()
        if key in _HOP or key in named:
            continue
        if key == "location" and backing.prefix:
            value = relocated(value, backing, request.headers.get("host", ""))
        fields.append((name, value))
    return fields


def relocated(location: str, backing: Backing, asked_host: str) -> str:
    """Where a redirect leads as seen from outside: our prefix comes before a path on the same server."""
    try:
        parts = urlsplit(location)
    except ValueError:
        raise internal_error(f'error trying to parse Location header: parse "{location}"') from None
    own = f"{backing.place.host}:{backing.place.port}"
    if parts.netloc not in ("", own, asked_host) or not parts.path.startswith("/"):
        return location
    same = bool(parts.netloc) and parts.netloc == asked_host
    scheme, host = (parts.scheme, parts.netloc) if same else ("", "")
    path = parts.path if parts.path.startswith(backing.prefix) else backing.prefix + parts.path
    return urlunsplit((scheme, host, path, parts.query, parts.fragment))


# -- upgrades


async def _upgrade(connections: OutwardClient, request: Request, backing: Backing, target: str) -> Answer:
    """WebSocket, SPDY or anything else: the handshake is passed on as it is, then bytes both ways."""
    try:
        wire = await connections.open(backing.place)
    except OutwardError as error:
        raise internal_error(f"error dialing backend: {error.cause}") from error
    try:
        fields = [("Host", backing.host), *_fields(request, backing, hop=frozenset())]
        await wire.send(request.method, target, fields, request.body)
        head = await wire.head()
    except (WireError, OSError) as error:
        wire.close()
        raise internal_error(f"error dialing backend: {error}") from error
    except BaseException:
        wire.close()
        raise
    if head.status != 101:
        return Passed(
            head.status,
            head.phrase,
            _answered(request, backing, head),
            _body(connections, backing, request, wire, head),
        )

    async def run(connection: Connection) -> None:
        try:
            lines = [f"HTTP/1.1 101 {head.phrase or 'Switching Protocols'}"]
            lines += [f"{name}: {value}" for name, value in head.fields]
            await connection.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))
            await splice(connection, wire.reader, wire.writer)
        finally:
            wire.close()
            connection.close()

    return Hijack(run)


def is_for_a_proxy(head: Head) -> bool:
    """Its body is passed on, however long: `services/NAME/proxy` and its like."""
    parts = head.path.split("/", 8)
    return "proxy" in (parts[7:8] if parts[3:4] == ["namespaces"] else parts[5:6])


def redirect_to_slash(request: Request) -> Response:
    """A browser must think of `.../proxy` as a folder, else relative links lead astray."""
    query = f"?{request.query_string}" if request.query_string else ""
    return Response(301, None, b"", "", {"Location": f"{request.path}/{query}"})
