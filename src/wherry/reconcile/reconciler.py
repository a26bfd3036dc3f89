"""The four words every controller is written in: Request, Result, Reconciler, TerminalError.

Level-based: a request names an object and says nothing of what happened to it. A reconciler reads the world as it is
(a deleted object is simply not there), decides, acts, and returns. Called twice in a row, the second call does nothing;
a missed or doubled watch event therefore does no harm.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from msgspec import Struct

from wherry.api.types import Obj


class Request(NamedTuple):
    """Which object to look at; `namespace` is "" for cluster-scoped ones."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @classmethod
    def of(cls, obj: Obj) -> Request:
        """The request that names `obj`."""
        metadata = obj["metadata"]
        return cls(metadata.get("namespace", ""), metadata["name"])


class Result(Struct, frozen=True):
    """`requeue_after`: look again in that many seconds even if nothing changes (a deadline, a window).
    `retry`: nothing failed, but it is not done; look again after the key's back-off."""

    requeue_after: float | None = None
    retry: bool = False


class Reconciler(Protocol):
    """Brings one object's world in line with what the object asks for."""

    async def reconcile(self, request: Request) -> Result | None:
        """None and `Result()` mean: done until something changes.

        Any exception but TerminalError means: again, with back-off."""
        ...


class TerminalError(Exception):
    """It failed and trying again will not help until the object changes; logged, not retried."""
