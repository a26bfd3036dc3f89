"""Events between services: an outbox on the sending side, an inbox on the receiving side, NATS JetStream in between.

An event is written in the transaction that caused it (outbox) and published afterwards, until the broker acknowledges it;
the receiver handles it in one transaction with the note that it has (inbox) and acknowledges only then. So a crash
anywhere repeats a step, and a repeated step changes nothing. An event that cannot be handled goes to `dlq.>`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig
from nats.js.client import JetStreamContext

import nats
from shopkit.database import Database
from shopkit.settings import SERVICE

SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, subject TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS inbox (id TEXT PRIMARY KEY, handled TEXT NOT NULL);
"""
DELIVERIES_MAX = 8
BACKOFF_SECONDS = (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)
BATCH = 100
IDLE_SECONDS = 2.0  # how late an event of another replica's outbox may be; our own is published at once
RECONNECT_SECONDS = 0.3

Handler = Callable[[sqlite3.Connection, dict[str, Any]], None]
log = logging.getLogger(SERVICE)


def emit(db: sqlite3.Connection, subject: str, data: Mapping[str, Any]) -> None:
    """Write an event (CloudEvents 1.0) into the outbox, inside the caller's transaction."""
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": f"/{SERVICE}",
        "type": subject,
        "time": datetime.now(UTC).isoformat(),
        "data": dict(data),
    }
    db.execute("INSERT INTO outbox (id, subject, body) VALUES (?, ?, ?)", (event["id"], subject, json.dumps(event)))


class Events:
    """The relay of the outbox and the consumers of the inbox of one service."""

    def __init__(self, url: str, database: Database, handlers: Mapping[str, Handler] | None = None) -> None:
        self.url, self.database, self.handlers = url, database, dict(handlers or {})
        self.connected = asyncio.Event()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There is something in the outbox."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; a broker that is away is waited for, and a database that takes nothing."""
        while True:
            try:
                await self._session()
            except (NatsError, OSError, TimeoutError, sqlite3.Error) as error:  # the disk may be full too
                log.warning("events wait", extra={"data": {"error": str(error) or type(error).__name__}})
            self.connected.clear()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _session(self) -> None:
        lost = asyncio.Event()

        async def closed() -> None:
            lost.set()

        async def problem(error: Exception) -> None:
            log.warning("broker connection", extra={"data": {"error": str(error)}})

        connection = await nats.connect(
            self.url, allow_reconnect=False, connect_timeout=2, name=SERVICE, closed_cb=closed, error_cb=problem
        )
        try:
            stream = connection.jetstream(timeout=2)
            for name, subject in (("SHOP", "shop.>"), ("DLQ", "dlq.>")):
                await stream.add_stream(StreamConfig(name, subjects=[subject], storage=StorageType.FILE))
            self.connected.set()
            work = [self._relay(stream), *(self._consume(stream, subject) for subject in self.handlers)]
            await _until_one_ends([*work, lost.wait()])
        finally:
            await connection.close()

    async def _relay(self, stream: JetStreamContext) -> None:
        while True:
            self._wake.clear()
            pending = await self.database.read(
                lambda db: db.execute("SELECT * FROM outbox ORDER BY sequence LIMIT ?", (BATCH,)).fetchall()
            )
            for row in pending:  # the message id lets the broker drop what it has already
                await stream.publish(row["subject"], row["body"].encode(), headers={"Nats-Msg-Id": row["id"]})
                await self.database.write(lambda db, row=row: db.execute("DELETE FROM outbox WHERE id=?", (row["id"],)))
            if len(pending) < BATCH:
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_SECONDS):
                        await self._wake.wait()

    async def _consume(self, stream: JetStreamContext, subject: str) -> None:
        durable = f"{SERVICE}-{subject.replace('.', '-')}"
        # How often an event is tried is decided in _handle: a broker that counts would also count, and in the end drop,
        # events that nobody could try because we were killed while holding them.
        config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=5)
        subscription = await stream.pull_subscribe(subject, durable, "SHOP", config)
        while True:
            try:
                messages = await subscription.fetch(BATCH, timeout=IDLE_SECONDS)
            except TimeoutError:
                continue
            for message in messages:
                await self._handle(stream, subject, message)

    async def _handle(self, stream: JetStreamContext, subject: str, message: Any) -> None:
        attempt = message.metadata.num_delivered
        try:
            event = json.loads(message.data)
            await self.database.write(lambda db: self._once(db, subject, event))
        except Exception as error:
            log.exception("event not handled", extra={"data": {"subject": subject, "attempt": attempt}})
            if attempt >= DELIVERIES_MAX:
                await stream.publish(f"dlq.{SERVICE}.{subject}", message.data, headers={"Error": str(error)[:200]})
                await message.term()
            else:
                await message.nak(delay=BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS)) - 1])
            return
        self.wake()
        await message.ack()

    def _once(self, db: sqlite3.Connection, subject: str, event: dict[str, Any]) -> None:
        noted = db.execute(
            "INSERT INTO inbox VALUES (?, ?) ON CONFLICT DO NOTHING", (event["id"], datetime.now(UTC).isoformat())
        )
        if noted.rowcount:  # else it was handled before and only the acknowledgement was lost
            self.handlers[subject](db, event["data"])


async def _until_one_ends(work: list[Any]) -> None:
    """Run all; when the first ends (or fails) cancel the rest and pass its failure on.

    A cancellation can get lost (asyncio.wait_for before Python 3.12, when a message comes in the same moment), and who goes on
    then would be waited for without end, while nobody sends events.
    """
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        while left := [task for task in tasks if task.cancel()]:
            await asyncio.wait(left, timeout=RECONNECT_SECONDS)
        await asyncio.gather(*tasks, return_exceptions=True)
