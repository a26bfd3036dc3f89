"""Events between services: sent after the transaction that caused them, handled once, and never lost between the two."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from broker import Broker
from shop_in_process import Load

SUBJECT = "shop.order.confirmed"


class Service:
    """A service with an outbox, an inbox and one handler, which counts in a table and can fail."""

    def __init__(self, load: Load, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events = load("shopkit.events")
        database = self.events.Database
        tables = "CREATE TABLE handled (order_id TEXT);"
        self.database = database(str(folder / "service.db"), self.events.SCHEMA + tables)
        self.broker, self.failures = Broker(), 0
        monkeypatch.setattr(self.events.nats, "connect", self.broker.connect)
        monkeypatch.setattr(self.events, "RECONNECT_SECONDS", 0)
        self.bus = self.events.Events("nats://nowhere", self.database, {SUBJECT: self.handle})

    def handle(self, db: sqlite3.Connection, event: dict[str, Any]) -> None:
        db.execute("INSERT INTO handled VALUES (?)", (event["order_id"],))
        if self.failures:
            self.failures -= 1
            raise ValueError("not today")

    async def count(self, table: str) -> int:
        found: int = await self.database.read(lambda db: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
        return found

    async def emit(self, order: str) -> None:
        await self.database.write(lambda db: self.events.emit(db, SUBJECT, {"order_id": order}))
        self.bus.wake()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.bus.run())
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def service(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    service = Service(load, tmp_path, monkeypatch)
    yield service
    service.database.close()


def event(identity: str = "event-1", order: str = "order-1") -> bytes:
    return json.dumps({"id": identity, "data": {"order_id": order}}).encode()


async def test_an_event_is_written_with_its_cause_and_sent_later(service: Service) -> None:
    await service.emit("order-1")
    assert await service.count("outbox") == 1  # a crash here loses nothing: it is sent by whoever starts next
    async with service.running():
        await service.broker.until(lambda: len(service.broker.published) == 1)
    subject, body = service.broker.published[0]
    found = json.loads(body)
    assert (subject, found["type"], found["data"], found["specversion"]) == (
        SUBJECT,
        SUBJECT,
        {"order_id": "order-1"},
        "1.0",
    )


async def test_what_is_rolled_back_is_not_sent(service: Service) -> None:
    def work(db: sqlite3.Connection) -> None:
        service.events.emit(db, SUBJECT, {"order_id": "order-1"})
        raise LookupError

    with pytest.raises(LookupError):
        await service.database.write(work)
    assert await service.count("outbox") == 0


async def test_events_keep_their_order_and_leave_the_outbox(service: Service) -> None:
    async with service.running():
        for number in range(150):  # more than one batch
            await service.emit(f"order-{number}")
        await service.broker.until(lambda: len(service.broker.published) == 150)
        sent = [json.loads(body)["data"]["order_id"] for _, body in service.broker.published]
        assert sent == [f"order-{number}" for number in range(150)]
        while await service.count("outbox"):
            await asyncio.sleep(0)


async def test_a_broker_that_is_away_is_waited_for(service: Service) -> None:
    service.broker.refuses = 3
    await service.emit("order-1")
    async with service.running():
        await service.broker.until(lambda: len(service.broker.published) == 1)


async def test_a_database_that_takes_nothing_is_waited_for(service: Service) -> None:
    full = "CREATE TRIGGER full BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    await service.database.write(lambda db: db.execute(full))
    await service.emit("order-1")
    async with service.running() as relay:
        while len(service.broker.seen) < 2 and not relay.done():
            await asyncio.sleep(0)
        assert not relay.done(), "a process that ends again and again is left alone for minutes"
        await service.database.write(lambda db: db.execute("DROP TRIGGER full"))
        while await service.count("outbox"):
            assert not relay.done()
    assert len(service.broker.published) == 1


async def test_a_consumer_that_misses_its_end_is_ended_again(service: Service) -> None:
    """As asyncio.wait_for before Python 3.12 makes it when a message comes in the same moment; nobody sent events then."""

    async def deaf() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    async def relay() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with asyncio.timeout(30):
        with pytest.raises(sqlite3.OperationalError):
            await service.events._until_one_ends([deaf(), relay()])


async def test_a_lost_acknowledgement_sends_again_and_counts_once(service: Service) -> None:
    service.broker.lost_acknowledgements = 2
    await service.emit("order-1")
    async with service.running():
        await service.broker.until(lambda: len(service.broker.seen) == 3)
    assert len(service.broker.published) == 1


async def test_a_redelivered_event_is_handled_once(service: Service) -> None:
    async with service.running():
        for _ in range(3):
            await service.broker.deliver(SUBJECT, event())
        await service.broker.deliver(SUBJECT, event("event-2", "order-2"))
        await service.broker.until(lambda: len(service.broker.settled) == 4)
    assert await service.count("handled") == 2
    assert await service.count("inbox") == 2


async def test_a_handler_that_failed_left_nothing_and_is_tried_again(service: Service) -> None:
    service.failures = 2
    async with service.running():
        await service.broker.deliver(SUBJECT, event())
        await service.broker.until(lambda: len(service.broker.settled) == 3)
    assert await service.count("handled") == 1


async def test_what_cannot_be_handled_is_set_aside_and_delays_nothing(service: Service) -> None:
    service.failures = 8
    async with service.running():
        await service.broker.deliver(SUBJECT, event("poison"))
        await service.broker.until(lambda: bool(service.broker.published))
        await service.broker.deliver(SUBJECT, event("event-2", "order-2"))
        await service.broker.until(lambda: len(service.broker.settled) == 9)
    [(subject, body)] = service.broker.published
    assert subject == f"dlq.{service.events.SERVICE}.{SUBJECT}"
    assert body == event("poison")
    assert await service.count("handled") == 1


async def test_what_is_no_event_is_set_aside_too(service: Service) -> None:
    async with service.running():
        await service.broker.deliver(SUBJECT, b"not json")
        await service.broker.until(lambda: bool(service.broker.published))
    assert service.broker.published[0][1] == b"not json"
