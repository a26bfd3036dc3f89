"""The way to a node's kubelet: HTTP over its Unix socket, as documents, as a stream, or as a raw connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from wherry.api import json
from wherry.api.errors import StatusError, bad_request, internal_error
from wherry.client import http1
from wherry.client.http1 import AnswerHead, Wire, WireError
from wherry.launcher.protocol import unix_address

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
        async with self._asked(node, path) as (wire, head):
            with _reachable(node):
                body = b"".join([piece async for piece in wire.body("GET", head)])
            if head.status != 200:
                raise refusal(head.status, body.decode(errors="replace"))
            return json.decode(body)

    async def stream(self, node: str, path: str) -> AsyncGenerator[bytes, None]:
        """GET of something long: the first item is b"" once the kubelet agreed. Raises StatusError before that."""
        async with self._asked(node, path) as (wire, head):
            pieces = wire.body("GET", head)
            if head.status not in (200, 206):
                with _reachable(node):
                    raise refusal(head.status, (await anext(pieces, b""))[:ERROR_BYTES_MAX].decode(errors="replace"))
            yield b""
            while True:
                with _reachable(node):
                    piece = await anext(pieces, b"")
                if not piece:
                    return
                yield piece

    async def connect(self, node: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A raw connection, for upgrades. Raises StatusError."""
        with _reachable(node):
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_unix_connection(
                    unix_address(self._socket_of(node)), limit=http1.HEAD_BYTES_MAX
                )

    @asynccontextmanager
    async def _asked(self, node: str, path: str) -> AsyncIterator[tuple[Wire, AnswerHead]]:
        """A connection of its own with a GET sent and the head of its answer."""
        wire = Wire(*await self.connect(node))
        try:
            with _reachable(node):
                await wire.send("GET", path, [("Host", "kubelet"), ("Connection", "close")])
                head = await wire.head()
            yield wire, head
        finally:
            wire.close()


@contextmanager
def _reachable(node: str) -> Iterator[None]:
    """Turns "nobody listens there" into the 500 Kubernetes gives."""
    try:
        yield
    except (OSError, WireError, TimeoutError) as error:
        raise internal_error(f"error dialing backend: the kubelet of node {node} does not answer: {error}") from error


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
