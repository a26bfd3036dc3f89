"""REST of the orders service: place an order once, however often it is asked for; look at it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sqlite3
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Header, HTTPException, Response
from pydantic import BaseModel, Field

from orders.saga import FINAL, SCHEMA, Saga
from shopkit import events as bus
from shopkit.calls import Service, Unavailable
from shopkit.database import Database
from shopkit.service import create, serve
from shopkit.settings import SERVICE, setting
from shopkit.tokens import BadToken, verify

REQUEST_SECONDS = 3.0
SWEEP_SECONDS = 1.0
SWEEPERS = 8  # orders resumed at once after an outage
log = logging.getLogger(SERVICE)


def note_parcel(db: sqlite3.Connection, event: dict[str, Any]) -> None:
    tracking, parcel = event["code"], event.get("step", "label created")
    db.execute("UPDATE purchase SET tracking=?, parcel=? WHERE id=?", (tracking, parcel, event["order_id"]))


async def sweep() -> None:
    """Resume every order that is not finished: after a crash, or when another service was away."""
    gate = asyncio.Semaphore(SWEEPERS)

    async def resume(order_id: str) -> None:
        async with gate:
            try:
                await saga.advance(order_id)
            except (Unavailable, sqlite3.Error) as error:
                log.warning("order waits", extra={"data": {"order": order_id, "why": str(error)}})

    query = "SELECT id FROM purchase WHERE step NOT IN ('confirmed', 'cancelled') AND created < ? LIMIT 500"
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        before = datetime.fromtimestamp(datetime.now(UTC).timestamp() - REQUEST_SECONDS, UTC).isoformat()
        waiting = await database.read(lambda db, before=before: [row["id"] for row in db.execute(query, (before,))])
        await asyncio.gather(*(resume(order_id) for order_id in waiting))


database = Database(setting("DB_PATH", "/data/orders.db"), bus.SCHEMA + SCHEMA)
handlers = {"shop.shipment.created": note_parcel, "shop.shipment.updated": note_parcel}
events = bus.Events(setting("NATS_URL", "nats://nats:4222"), database, handlers)
products = Service("products", setting("PRODUCTS_URL", "http://products:8000"))
payments = Service("payments", setting("PAYMENTS_URL", "http://payments:8000"))
saga = Saga(database, events, products, payments)
app = create("Orders", database, events, [sweep])


class Line(BaseModel):
    sku: str
    quantity: int = Field(gt=0, le=99)


class Order(BaseModel):
    cart: str
    lines: list[Line] = Field(min_length=1, max_length=50)
    method: str = Field(pattern="^(card|invoice|declined)$")


def caller(authorization: Annotated[str, Header()] = "") -> str:
    try:
        return str(verify(authorization.removeprefix("Bearer "))["sub"])
    except (BadToken, ValueError, KeyError) as error:
        raise HTTPException(401, str(error)) from None


User = Annotated[str, Depends(caller)]


@app.post("/orders")
async def place(
    body: Order, user: User, response: Response, idempotency_key: Annotated[str, Header(max_length=100)] = ""
) -> dict[str, Any]:
    """201 confirmed, 202 still under way, 402 declined, 409 out of stock; the same key gives the same order.

    422 without an Idempotency-Key, or with one that was used for another order.
    """
    if not idempotency_key:
        raise HTTPException(422, "the header Idempotency-Key is needed")
    order_id = await database.write(lambda db: _record(db, f"{user}/{idempotency_key}", user, body))
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            order = await saga.advance(order_id)
    except (Unavailable, TimeoutError) as error:
        log.warning("order accepted, not finished", extra={"data": {"order": order_id, "why": str(error)}})
        order = await saga.read(order_id)
    response.status_code = _status(order)
    return _view(order)


@app.get("/orders")
async def orders(user: User) -> dict[str, Any]:
    query = "SELECT id FROM purchase WHERE user=? ORDER BY created DESC LIMIT 50"
    found = await database.read(lambda db: [row["id"] for row in db.execute(query, (user,))])
    return {"items": [_view(await saga.read(order_id)) for order_id in found]}


@app.get("/orders/{order_id}")
async def order(order_id: str, user: User) -> dict[str, Any]:
    try:
        found = await saga.read(order_id)
    except KeyError:
        raise HTTPException(404, f"no order {order_id}") from None
    if found["user"] != user:
        raise HTTPException(404, f"no order {order_id}")
    return _view(found)


def _record(db: sqlite3.Connection, key: str, user: str, body: Order) -> str:
    """Note the wish, once per key; the order's id."""
    digest = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    known = db.execute("SELECT digest, order_id FROM idempotency WHERE key=?", (key,)).fetchone()
    if known:
        if known["digest"] != digest:
            raise HTTPException(422, "this Idempotency-Key was used for another order")
        return str(known["order_id"])
    order_id, now = str(uuid.uuid4()), datetime.now(UTC).isoformat()
    lines = "[" + ",".join(line.model_dump_json() for line in body.lines) + "]"
    db.execute("INSERT INTO idempotency VALUES (?, ?, ?)", (key, digest, order_id))
    db.execute(
        "INSERT INTO purchase (id, user, cart, method, lines, step, created) VALUES (?, ?, ?, ?, ?, 'reserve', ?)",
        (order_id, user, body.cart, body.method, lines, now),
    )
    return order_id


def _status(order: dict[str, Any]) -> int:
    if order["step"] == "confirmed":
        return 201
    if order["step"] == "cancelled":
        return 402 if "declined" in order["reason"] else 409
    return 202


def _view(order: dict[str, Any]) -> dict[str, Any]:
    state = order["step"] if order["step"] in FINAL else "pending"
    shown = ("id", "lines", "cents", "reason", "tracking", "parcel", "created", "cart")
    return {"state": state, **{key: order[key] for key in shown}}


if __name__ == "__main__":
    serve(app)
