"""`client.transport.Transport` for callers on other event loops: every step is done on the plane's own.

A watch waits without letting time pass; requests settle as the verbs of `ControlPlane` do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from wherry.api.types import Obj
from wherry.client.transport import Transport

T = TypeVar("T")


class Loop(Protocol):
    """Runs coroutines elsewhere; `call` may let time pass for them, `share` does not."""

    def call(self, work: Coroutine[Any, Any, T]) -> Future[T]: ...

    def share(self, work: Coroutine[Any, Any, T]) -> Future[T]: ...


class BridgedTransport:
    def __init__(self, loop: Loop, inner: Transport) -> None:
        self._loop = loop
        self._inner = inner

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Obj:
        work = self._inner.request(method, path, query=query, body=body, content_type=content_type)
        return await asyncio.wrap_future(self._loop.call(work))

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str] | None = None
    ) -> AsyncGenerator[AsyncIterator[Obj], None]:
        inner = self._inner.stream(path, query=query)
        events = await asyncio.wrap_future(self._loop.share(inner.__aenter__()))
        try:
            yield self._items(events)
        finally:
            await asyncio.wrap_future(self._loop.share(_leave(inner)))

    async def _items(self, events: AsyncIterator[Obj]) -> AsyncIterator[Obj]:
        while True:
            event = await asyncio.wrap_future(self._loop.share(_next(events)))
            if event is None:
                return
            yield event

    async def close(self) -> None:
        """The plane's owner closes it."""


async def _next(events: AsyncIterator[Obj]) -> Obj | None:
    return await anext(events, None)


async def _leave(stream: Any) -> None:
    await stream.__aexit__(None, None, None)
