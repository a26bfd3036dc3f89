"""How a request reaches the API server: over HTTPS from another process, or by a plain call inside the control plane.

Both stream. The in-process one hands over the stored objects themselves, nothing is serialised; callers must not change
what they receive.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from wherry.api.types import Obj


class Transport(Protocol):
    """Raises `api.errors.StatusError` for every answer of 400 and above, `ConnectionError` when there is no answer."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Obj:
        """One request and its decoded answer; `body` is JSON-able (a dict, or a list for a JSON patch)."""
        ...

    def stream(
        self, path: str, *, query: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Obj]]:
        """Watch events as `{"type": ..., "object": ...}` until the server ends the stream."""
        ...

    async def close(self) -> None: ...
