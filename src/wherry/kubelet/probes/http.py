"""HTTP(S) GET over a given socket: enough of HTTP/1.1 for probes and hooks, no more.

One request, one connection, `Connection: close`; the answer is read up to a bound; certificates are not verified, as
kubelet does not. A redirect to the same host is followed, one elsewhere is a success with a warning (kubelet's rule).
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urljoin, urlsplit

from msgspec import Struct

from wherry.kubelet.probes.outcome import OUTPUT_BYTES_MAX, Outcome, Result, dial_error, failure, success

Dial = Callable[[str, int], Awaitable[socket.socket]]
"""dial(host, port): a connected, non-blocking socket. Raises OSError."""

REDIRECTS_MAX = 10
HEAD_BYTES_MAX = 64 * 1024


class Response(Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class BadResponse(Exception):
    """What came back is no HTTP; the text is the probe's output."""


def build_headers(given: Sequence[Mapping[str, str]], host: str, agent: str) -> list[tuple[str, str]]:
    """Kubelet's defaults unless the probe sets them; an empty value of User-Agent or Accept leaves the header out."""
    headers = [(each["name"], str(each.get("value", ""))) for each in given]
    names = {name.lower() for name, _ in headers}
    chosen = [("Host", next((value for name, value in headers if name.lower() == "host"), host))]
    if "user-agent" not in names:
        chosen.append(("User-Agent", agent))
    if "accept" not in names:
        chosen.append(("Accept", "*/*"))
    chosen += [
        (name, value)
        for name, value in headers
        if name.lower() != "host" and not (name.lower() in ("user-agent", "accept") and not value)
    ]
    return [*chosen, ("Connection", "close")]


async def get(dial: Dial, url: str, given: Sequence[Mapping[str, str]], agent: str) -> Response:
    """One GET. Raises OSError, BadResponse; bounded by the caller's timeout."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    connection = await dial(host, port)
    try:
        reader, writer = await asyncio.open_connection(
            sock=connection,
            ssl=_trusting() if parts.scheme == "https" else None,
            server_hostname=host if parts.scheme == "https" else None,
            limit=HEAD_BYTES_MAX,
        )
    except BaseException:
        connection.close()
        raise
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = "".join(f"{name}: {value}\r\n" for name, value in build_headers(given, parts.netloc, agent))
        writer.write(f"GET {target} HTTP/1.1\r\n{head}\r\n".encode())
        await writer.drain()
        return await _read(reader)
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            transport = writer.transport
            transport.abort()


async def _read(reader: asyncio.StreamReader) -> Response:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise BadResponse("EOF" if not error.partial else "malformed HTTP response") from error
    except asyncio.LimitOverrunError as error:
        raise BadResponse("response headers exceeded the limit") from error
    first, *lines = raw.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise BadResponse(f'malformed HTTP response "{first}"')
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    if int(words[1]) == http.HTTPStatus.CONTINUE:
        return await _read(reader)
    return Response(int(words[1]), headers, await _read_body(reader, headers))


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    length = headers.get("content-length", "")
    wanted = min(int(length), OUTPUT_BYTES_MAX) if length.isdigit() else OUTPUT_BYTES_MAX
    body = b""
    with contextlib.suppress(ConnectionError):
        while len(body) < wanted:
            piece = await reader.read(wanted - len(body))
            if not piece:
                break
            body += piece
            if headers.get("transfer-encoding") and body.endswith(b"0\r\n\r\n"):
                break
    return body


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def unreachable(url: str, error: OSError) -> str:
    """Go's text for a request whose connection failed."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f'Get "{url}": {dial_error(parts.hostname or "", port, error)}'


async def probe(dial: Dial, url: str, headers: Sequence[Mapping[str, str]], agent: str) -> Outcome:
    """200 to 399 is healthy."""
    first = urlsplit(url).hostname
    for _ in range(REDIRECTS_MAX):
        try:
            response = await get(dial, url, headers, agent)
        except ssl.SSLError as error:
            return failure(f'Get "{url}": tls: {error.reason or error}')
        except BadResponse as error:
            return failure(f'Get "{url}": {error}')
        except OSError as error:
            return failure(unreachable(url, error))
        location = response.headers.get("location", "")
        if not (response.status in (301, 302, 303, 307, 308) and location):
            return _judge(response)
        target = urljoin(url, location)
        if urlsplit(target).hostname != first:
            body = response.body.decode(errors="replace")
            return Outcome(Result.WARNING, f"Probe terminated redirects, Response body: {body}")
        url = target
    return failure(f'Get "{url}": stopped after {REDIRECTS_MAX} redirects')


def _judge(response: Response) -> Outcome:
    if 200 <= response.status < 400:
        return success(response.body.decode(errors="replace"))
    return failure(f"HTTP probe failed with statuscode: {response.status}")
