"""The way from one component to the API server: a `Transport` that fails as networks and servers do.

Requests are refused, late, or served without an answer; watches lag, each by itself, so that what came in one order is seen
in another; they end, or end with 410. On one watch nothing is ever out of order, nor missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from wherry.aio.clock import Clock
from wherry.api.errors import StatusError
from wherry.api.types import Obj
from wherry.apiserver.auth.user import User
from wherry.apiserver.in_process import InProcessTransport
from wherry.testing.simulation.call import Call, Calls
from wherry.testing.simulation.server import Server
from wherry.testing.simulation.weather import Active, Weather, refusal

GONE = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": "too old resource version",
    "reason": "Expired",
    "code": 410,
}
PATIENCE = (0.0001, 0.0004, 0.001)
"""Seconds a hasty client waits: within an fsync, or just beyond."""
FAULTS_OF_WATCHES = ("lag", "cut", "expire")


class Wire:
    """`watched`: whether faults of watches may come, which costs something for each event."""

    def __init__(
        self,
        server: Server,
        calls: Calls,
        weather: Weather,
        clock: Clock,
        who: str,
        user: User,
        manager: str,
        watched: bool,
    ) -> None:
        self.who = who
        self.down = False
        self._server = server
        self._calls = calls
        self._weather = weather
        self._clock = clock
        self._user = user
        self._manager = manager
        self._watched = watched
        self._streams: dict[_Stream, None] = {}
        self._newest = 0

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Obj:
        lost: Active | None = None
        patience: float | None = None
        for active in self._weather.over(self.who):
            kind = active.fault.kind
            if kind == "errors" and active.strikes():
                self._weather.struck["requests refused"] += 1
                raise refusal(active, method, path)
            if kind == "late":
                self._weather.struck["requests late"] += 1
                await self._clock.sleep(active.rng.random() * active.fault.amount)
            if kind == "hasty" and active.strikes():
                patience = active.rng.choice(PATIENCE)
            if kind == "lost" and active.strikes():
                lost = active
        if self.down:
            raise ConnectionResetError("this process has crashed")
        call = self._calls.begin(self._now(), self.who, method, path, query, body)
        task = asyncio.current_task()
        call.worker = task.get_name() if task is not None else ""
        work = self._serve(call, method, path, query, body, content_type)
        try:
            async with asyncio.timeout(patience):
                answer = await self._server.carry(work, call)
        except asyncio.CancelledError:
            call.lost = True  # its sender has crashed
            raise
        except TimeoutError:
            call.lost = True
            self._weather.struck["answers not waited for"] += 1
            raise ConnectionAbortedError("no answer in time") from None
        if lost is not None:
            call.lost = True
            self._weather.struck["answers lost"] += 1
            raise ConnectionResetError("the connection was lost before the answer came")
        return answer

    async def _serve(
        self, call: Call, method: str, path: str, query: Mapping[str, str] | None, body: Any, content_type: str
    ) -> Obj:
        assert self._server.app is not None
        transport = InProcessTransport(self._server.app, self._user, self._manager)
        try:
            answer = await transport.request(method, path, query=query, body=body, content_type=content_type)
        except StatusError as error:
            call.ended, call.code = self._now(), error.code
            raise
        self._calls.answered(call, self._now(), answer)
        return answer

    def _now(self) -> float:
        return self._clock.monotonic()

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str] | None = None
    ) -> AsyncGenerator[AsyncIterator[Obj], None]:
        if self._server.app is None or self.down:
            raise ConnectionRefusedError("the API server is down")
        for active in self._weather.over(self.who):
            if active.fault.kind == "errors" and active.strikes():
                raise refusal(active, "GET", path)
        inner = InProcessTransport(self._server.app, self._user, self._manager).stream(path, query=query)
        async with inner as events:
            if not self._watched:
                yield events
                return
            stream = _Stream(self, events)
            self._streams[stream] = None
            try:
                yield stream.events()
            finally:
                del self._streams[stream]
                await stream.close()

    def cut(self, active: Active) -> None:
        """End the watches that are open, with 410 if the fault says so."""
        for stream in list(self._streams):
            if active.strikes():
                expired = active.fault.kind == "expire"
                self._weather.struck["watches expired" if expired else "watches cut"] += 1
                stream.end(GONE if expired else None)

    def lag(self) -> float:
        """By how much an event that happens now is late."""
        return max(
            (one.rng.random() * one.fault.amount for one in self._weather.over(self.who) if one.fault.kind == "lag"),
            default=0.0,
        )

    def told(self, event: Obj) -> None:
        """An event arrives here: of all watches together it may be an older one than what was told before."""
        revision = int(event["object"]["metadata"].get("resourceVersion") or 0)
        if revision < self._newest:
            self._weather.struck["watch events overtaken"] += 1
        self._newest = max(self._newest, revision)

    async def close(self) -> None:
        """There is nothing to close."""


class _Stream:
    """Events on their way: each arrives as late as it is, and none overtakes another."""

    def __init__(self, wire: Wire, events: AsyncIterator[Obj]) -> None:
        self._wire = wire
        self._inner = events
        self._queue: asyncio.Queue[tuple[float, Obj | None]] = asyncio.Queue()
        self._pump = asyncio.get_running_loop().create_task(self._carry())

    async def _carry(self) -> None:
        try:
            async for event in self._inner:
                if lag := self._wire.lag():
                    self._wire._weather.struck["watch events late"] += 1
                self._queue.put_nowait((self._wire._now() + lag, event))
        finally:
            self._queue.put_nowait((0.0, None))

    async def events(self) -> AsyncIterator[Obj]:
        while True:
            due, event = await self._queue.get()
            while (left := due - self._wire._now()) > 0 and self._wire.lag():
                await self._wire._clock.sleep(min(left, 1.0))
            if event is None:
                return
            self._wire.told(event)
            yield event

    def end(self, status: Obj | None) -> None:
        """What is on its way is dropped: it must be asked for again."""
        while not self._queue.empty():
            self._queue.get_nowait()
            self._wire._weather.struck["watch events dropped"] += 1
        if status is not None:
            self._queue.put_nowait((0.0, {"type": "ERROR", "object": status}))
        self._queue.put_nowait((0.0, None))
        self._pump.cancel()

    async def close(self) -> None:
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)
