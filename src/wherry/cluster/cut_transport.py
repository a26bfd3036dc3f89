"""A node's way to the API, which a fault made on purpose can cut: nothing gets through, and watches break off."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from wherry.api.types import Obj
from wherry.chaos.deciding import is_cut_off
from wherry.chaos.faults import Faults
from wherry.client.transport import Transport


class CutTransport:
    """As `client.transport.Transport`, for the node of that name."""

    def __init__(self, inner: Transport, faults: Faults, node: str) -> None:
        self._inner = inner
        self._faults = faults
        self._node = node

    def _check(self) -> None:
        if is_cut_off(self._faults, self._node):
            raise ConnectionError(f"node {self._node} is cut off on purpose")

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Obj:
        self._check()
        return await self._inner.request(method, path, query=query, body=body, content_type=content_type)

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str] | None = None
    ) -> AsyncGenerator[AsyncIterator[Obj], None]:
        self._check()
        async with self._inner.stream(path, query=query) as items:
            yield self._while_whole(items)

    async def _while_whole(self, items: AsyncIterator[Obj]) -> AsyncIterator[Obj]:
        """What comes while the way is cut is lost with the watch; whoever watches lists again."""
        async for each in items:
            self._check()
            yield each

    async def close(self) -> None:
        await self._inner.close()
