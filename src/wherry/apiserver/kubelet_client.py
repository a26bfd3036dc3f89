"""The way to a node's kubelet: HTTP over its Unix socket, as documents, as a stream, or as a raw connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any

from wherry.api import json
from wherry.api.errors import StatusError, bad_request, internal_error
from wherry.launcher.protocol import unix_address

if TYPE_CHECKING:
    import aiohttp  # a tenth of a second of a start; nobody asks a kubelet before there is one

CONNECT_SECONDS = 5
"""A kubelet on this machine answers in microseconds or not at all."""
ERROR_BYTES_MAX = 16 << 10
_REASONS = {404: "NotFound", 409: "Conflict", 403: "Forbidden", 503: "ServiceUnavailable", 504: "Timeout"}


class KubeletClient:
    """`socket_of(node)` is the path of the node's socket; it need not exist yet."""

    def __init__(self, socket_of: Callable[[str], str]) -> None:
        self._socket_of = socket_of

    async def document(self, node: str, path: str) -> Any:
        """GET of a JSON document. Raises StatusError."""
        async with self._session(node) as session, _reachable(node), session.get(f"http://kubelet{path}") as answer:
            body = await answer.read()
            if answer.status != 200:
                raise refusal(answer.status, body.decode(errors="replace"))
            return json.decode(body)

    async def stream(self, node: str, path: str) -> AsyncGenerator[bytes, None]:
        """GET of something long: the first item is b"" once the kubelet agreed. Raises StatusError before that."""
        async with self._session(node) as session, _reachable(node), session.get(f"http://kubelet{path}") as answer:
            if answer.status not in (200, 206):
                body = await answer.content.read(ERROR_BYTES_MAX)
                raise refusal(answer.status, body.decode(errors="replace"))
            yield b""
            async for chunk in answer.content.iter_any():
                yield chunk

    async def connect(self, node: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A raw connection, for upgrades. Raises StatusError."""
        async with _reachable(node), asyncio.timeout(CONNECT_SECONDS):
            return await asyncio.open_unix_connection(unix_address(self._socket_of(node)))

    def _session(self, node: str) -> aiohttp.ClientSession:
        import aiohttp

        connector = aiohttp.UnixConnector(path=unix_address(self._socket_of(node)))
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        return aiohttp.ClientSession(connector=connector, timeout=timeout)


class _reachable:  # noqa: N801 (reads as a phrase)
    """Turns "nobody listens there" into the 500 Kubernetes gives."""

    def __init__(self, node: str) -> None:
        self._node = node

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        import aiohttp

        if isinstance(error, OSError | aiohttp.ClientError | TimeoutError):
            raise internal_error(f"error dialing backend: the kubelet of node {self._node} does not answer: {error}")


def refusal(status: int, text: str) -> StatusError:
    """A kubelet's plain-text refusal as a Status."""
    text = text.strip()
    if status == 400:
        return bad_request(text)
    if status == 500:
        return internal_error(text)
    if status == 404:
        return StatusError(404, "NotFound", text or "the server could not find the requested resource")
    return StatusError(status, _REASONS.get(status, "InternalError"), text)
