"""A broker in memory with what shopkit.events uses of NATS JetStream: publish with de-duplication, durable pull consumers,
redelivery of what was refused, and connections that break.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Message:
    """One delivery."""

    subject: str
    data: bytes
    queue: deque[Message]
    delivered: int = 1
    settled: str = ""
    on_settle: Callable[[], None] = lambda: None

    @property
    def metadata(self) -> Message:
        return self

    @property
    def num_delivered(self) -> int:
        return self.delivered

    async def ack(self) -> None:
        self._settle("ack")

    async def term(self) -> None:
        self._settle("term")

    async def nak(self, delay: float) -> None:
        assert delay > 0
        self.queue.append(Message(self.subject, self.data, self.queue, self.delivered + 1, on_settle=self.on_settle))
        self._settle("nak")

    def _settle(self, how: str) -> None:
        self.settled = how
        self.on_settle()


@dataclass
class Broker:
    """`published` is everything that was new, in order; `seen` also what came again."""

    published: list[tuple[str, bytes]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    refuses: int = 0
    lost_acknowledgements: int = 0
    queues: dict[str, deque[Message]] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _ids: set[str] = field(default_factory=set)

    async def connect(self, *_: object, closed_cb: Any, **__: object) -> Broker:
        if self.refuses:
            self.refuses -= 1
            raise OSError("connection refused")
        return self

    async def close(self) -> None:
        pass

    def jetstream(self, timeout: float) -> Broker:
        assert timeout
        return self

    async def add_stream(self, config: object) -> None:
        pass

    async def publish(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        self.seen.append(subject)
        identity = headers.get("Nats-Msg-Id", "")
        if not identity or identity not in self._ids:
            self._ids.add(identity)
            self.published.append((subject, body))
        self.notify()
        if self.lost_acknowledgements:
            self.lost_acknowledgements -= 1
            raise TimeoutError

    async def pull_subscribe(self, subject: str, *_: object) -> _Consumer:
        return _Consumer(self, self.queues.setdefault(subject, deque()))

    async def deliver(self, subject: str, data: bytes) -> None:
        queue = self.queues.setdefault(subject, deque())
        message = Message(subject, data, queue)
        message.on_settle = lambda: self._note_settled(subject)
        queue.append(message)
        self.notify()

    def _note_settled(self, subject: str) -> None:
        self.settled.append(subject)
        self.notify()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it is true; it is looked at whenever something happened here."""
        async with asyncio.timeout(10):
            while not condition():
                await self.changed.wait()

    def notify(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass
class _Consumer:
    broker: Broker
    queue: deque[Message]

    async def fetch(self, batch: int, timeout: float) -> list[Message]:
        await self.broker.until(lambda: bool(self.queue))
        return [self.queue.popleft() for _ in range(min(batch, len(self.queue)))]
