"""What `async with wherry.ControlPlane() as cp` gives: the same methods, to be awaited on the caller's event loop.

The caller's loop goes on in real time; the control plane's has its own.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from wherry.aio.durations import Duration, seconds
from wherry.api.types import Obj
from wherry.client.rest import Client, PatchType, Propagation
from wherry.testing.cluster import PATIENCE, Objs
from wherry.testing.conditions import Condition, checker
from wherry.testing.engine import Engine
from wherry.testing.manifests import Manifest
from wherry.testing.time import ClockBase, Passing, Waiting, waiting
from wherry.testing.verbs import Verbs

if TYPE_CHECKING:
    from wherry.testing.control_plane import ControlPlane


class AsyncClock(ClockBase):
    """As `cluster.Clock`."""

    async def advance(self, duration: Duration) -> None:
        await asyncio.wrap_future(self._passing.pass_time(self._until(duration), False))

    async def run_until(self, condition: Callable[[], Any], limit: Duration = "24h") -> Any:
        """`condition` may be a coroutine function."""
        self._until(limit)
        late = f"not within {limit} of virtual time"
        return await _drive(waiting(self._passing, condition, seconds(limit), lambda: late))


class AsyncControlPlane:
    """As `cluster.Cluster`. What blocks for programs outside (kubectl, kubeconfig) is under `blocking`."""

    def __init__(self, blocking: ControlPlane, verbs: Verbs, engine: Engine) -> None:
        self.blocking = blocking
        self._verbs = verbs
        self._engine = engine
        passing: Passing = engine
        self.clock = AsyncClock(passing)

    @property
    def client(self) -> Client:
        return self.blocking.client

    async def apply(self, manifest: Manifest, namespace: str | None = None) -> Any:
        applied = await self._call(self._verbs.apply(manifest, namespace))
        return applied[0] if len(applied) == 1 else applied

    async def get(self, kind: str, name: str, namespace: str | None = None) -> Obj:
        found: Obj = await self._call(self._verbs.get(kind, name, namespace))
        return found

    async def list(self, kind: str, namespace: str | None = None, labels: str = "", fields: str = "") -> Objs:
        found: Objs = await self._call(self._verbs.list(kind, namespace, labels, fields))
        return found

    async def delete(
        self,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        grace_seconds: int | None = None,
        propagation: Propagation | None = None,
    ) -> None:
        await self._call(self._verbs.delete(kind, name, namespace, grace_seconds, propagation))

    async def patch(
        self,
        kind: str,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        type: PatchType = "merge",
        subresource: str | None = None,
    ) -> Obj:
        patched: Obj = await self._call(self._verbs.patch(kind, name, patch, namespace, type, subresource))
        return patched

    async def wait_for(
        self,
        kind: str,
        name: str,
        condition: Condition = "Ready",
        timeout: Duration = PATIENCE,
        namespace: str | None = None,
    ) -> Obj | None:
        test = checker(condition)

        async def ask() -> tuple[Obj | None] | None:
            found: Obj | None = await self._call(self._verbs.find_one(kind, name, namespace))
            return (found,) if test(found) else None

        late = f"{kind} {name}: not {condition} within {timeout}"
        answer: tuple[Obj | None] = await _drive(waiting(self._engine, ask, seconds(timeout), lambda: late))
        return answer[0]

    async def events(self, kind: str, name: str, namespace: str | None = None) -> Objs:
        found: Objs = await self._call(self._verbs.events(kind, name, namespace))
        return found

    async def logs(self, name: str, namespace: str | None = None, container: str = "") -> str:
        return await asyncio.to_thread(self.blocking.logs, name, namespace, container)

    async def _call(self, work: Any) -> Any:
        return await asyncio.wrap_future(self._engine.call(work))


async def _drive(steps: Waiting) -> Any:
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return end.value
        if isinstance(step, Future):
            answer = await asyncio.wrap_future(step)
        else:
            answer = step()
            if inspect.isawaitable(answer):
                answer = await answer
