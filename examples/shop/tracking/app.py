"""REST of the tracking service, the handler that makes a parcel, and the carrier that moves it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import sqlite3
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Header, HTTPException, Request
from pydantic import BaseModel

from shopkit.database import Database, rows
from shopkit.events import SCHEMA, Events, emit
from shopkit.service import create, serve
from shopkit.settings import SERVICE, setting

STEPS = ("label created", "handed to the carrier", "on the river", "out for delivery", "delivered")
TABLES = """
CREATE TABLE IF NOT EXISTS shipment (
    order_id TEXT PRIMARY KEY, code TEXT NOT NULL UNIQUE, step INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS scan (
    code TEXT NOT NULL, step INTEGER NOT NULL, at TEXT NOT NULL, PRIMARY KEY (code, step));
"""
CARRIER_SECONDS = float(setting("CARRIER_SECONDS", "3"))


def ship(db: sqlite3.Connection, event: dict[str, Any]) -> None:
    """An order was confirmed. Its code follows from its id: a repeated event cannot make a second parcel."""
    order_id = event["order_id"]
    code = "WH" + hashlib.sha256(order_id.encode()).hexdigest()[:10].upper()
    if db.execute("INSERT INTO shipment VALUES (?, ?, 0) ON CONFLICT DO NOTHING", (order_id, code)).rowcount:
        _note(db, order_id, code, 0)
        emit(db, "shop.shipment.created", {"order_id": order_id, "code": code})


def _note(db: sqlite3.Connection, order_id: str, code: str, step: int) -> None:
    db.execute("INSERT INTO scan VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (code, step, datetime.now(UTC).isoformat()))
    emit(db, "shop.shipment.updated", {"order_id": order_id, "code": code, "step": STEPS[step]})


def advance(db: sqlite3.Connection, code: str) -> dict[str, Any] | None:
    """The next step of a parcel; the last one stays."""
    row = db.execute(
        "UPDATE shipment SET step = step + 1 WHERE code=? AND step < ? RETURNING *", (code, len(STEPS) - 1)
    ).fetchone()
    if row:
        _note(db, row["order_id"], code, row["step"])
    return dict(row) if row else None


async def carrier() -> None:
    """Every few seconds each parcel under way moves one step."""
    query = f"SELECT code FROM shipment WHERE step < {len(STEPS) - 1} LIMIT 500"
    while True:
        await asyncio.sleep(CARRIER_SECONDS)
        try:
            if await database.write(lambda db: [advance(db, row["code"]) for row in db.execute(query).fetchall()]):
                events.wake()
        except sqlite3.Error as error:  # the disk may be full
            logging.getLogger(SERVICE).warning("parcels wait", extra={"data": {"why": str(error)}})


database = Database(setting("DB_PATH", "/data/tracking.db"), SCHEMA + TABLES)
events = Events(setting("NATS_URL", "nats://nats:4222"), database, {"shop.order.confirmed": ship})
app = create("Tracking", database, events, [carrier] if CARRIER_SECONDS > 0 else [])


class Scan(BaseModel):
    code: str


def _view(db: sqlite3.Connection, where: str, value: str) -> dict[str, Any]:
    column = {"order": "order_id", "code": "code"}[where]
    found = db.execute(f"SELECT * FROM shipment WHERE {column}=?", (value,)).fetchone()
    if found is None:
        raise HTTPException(404, f"no parcel for {where} {value}")
    scans = rows(db.execute("SELECT step, at FROM scan WHERE code=? ORDER BY step", (found["code"],)))
    history = [{"at": scan["at"], "what": STEPS[scan["step"]]} for scan in scans]
    state = STEPS[found["step"]]
    return {"order_id": found["order_id"], "code": found["code"], "state": state, "history": history, "steps": STEPS}


@app.get("/shipments/{order_id}")
async def shipment(order_id: str) -> dict[str, Any]:
    return await database.read(lambda db: _view(db, "order", order_id))


@app.get("/track/{code}")
async def track(code: str) -> dict[str, Any]:
    """Open to whoever knows the code."""
    return await database.read(lambda db: _view(db, "code", code))


@app.post("/scans")
async def scan(request: Request, body: Scan, x_signature: Annotated[str, Header()] = "") -> dict[str, Any]:
    """The carrier's webhook: signed with the key we share (HMAC-SHA256 of the body, hex)."""
    expected = hmac.new(setting("CARRIER_KEY").encode(), await request.body(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), x_signature.encode()):
        raise HTTPException(401, "the signature is wrong")
    moved = await database.write(lambda db: advance(db, body.code))
    events.wake()
    return {"moved": moved is not None}


if __name__ == "__main__":
    serve(app)
