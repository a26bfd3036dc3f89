"""The life of an order: reserve → charge → confirmed, or → release → cancelled.

Each step is a call keyed by the order's id followed by a compare-and-set on `step`: whoever crashes in between, the
sweeper resumes from the step that is written, and two who do the same step at once cannot both go on.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from shopkit.calls import Service, Unavailable
from shopkit.database import Database
from shopkit.events import Events, emit

SCHEMA = """
CREATE TABLE IF NOT EXISTS purchase (
    id TEXT PRIMARY KEY, user TEXT NOT NULL, cart TEXT NOT NULL, method TEXT NOT NULL, lines TEXT NOT NULL,
    cents INTEGER NOT NULL DEFAULT 0, step TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', tracking TEXT NOT NULL DEFAULT '',
    parcel TEXT NOT NULL DEFAULT '', created TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS unfinished ON purchase (step) WHERE step NOT IN ('confirmed', 'cancelled');
CREATE TABLE IF NOT EXISTS idempotency (key TEXT PRIMARY KEY, digest TEXT NOT NULL, order_id TEXT NOT NULL);
"""
FINAL = ("confirmed", "cancelled")


class Saga:
    def __init__(self, database: Database, events: Events, products: Service, payments: Service) -> None:
        self.database, self.events, self.products, self.payments = database, events, products, payments

    async def advance(self, order_id: str) -> dict[str, Any]:
        """Take the order as far as it goes now; the order. Raises Unavailable: the sweeper comes back to it."""
        while (order := await self.read(order_id))["step"] not in FINAL:
            await getattr(self, f"_{order['step']}")(order)
        return order

    async def read(self, order_id: str) -> dict[str, Any]:
        row = await self.database.read(
            lambda db: db.execute("SELECT * FROM purchase WHERE id=?", (order_id,)).fetchone()
        )
        if row is None:
            raise KeyError(order_id)
        return {**dict(row), "lines": json.loads(row["lines"])}

    async def _reserve(self, order: dict[str, Any]) -> None:
        body = {
            "order_id": order["id"],
            "items": [{k: line[k] for k in ("sku", "quantity")} for line in order["lines"]],
        }
        answer = await self.products.call("POST", "/reservations", json=body)
        if answer.status_code != 200:
            reason = str(answer.json().get("detail", "out of stock"))
            await self._step(order, "cancelled", reason=reason, event="shop.order.cancelled")
            return
        lines = answer.json()["lines"]
        cents = sum(line["price_cents"] * line["quantity"] for line in lines)
        await self._step(order, "charge", lines=json.dumps(lines), cents=cents)

    async def _charge(self, order: dict[str, Any]) -> None:
        body = {"order_id": order["id"], "cents": order["cents"], "method": order["method"]}
        answer = await self.payments.call("POST", "/charges", json=body)
        if answer.status_code == 201:
            await self._step(order, "confirmed", event="shop.order.confirmed")
        elif answer.status_code == 402:
            await self._step(order, "release", reason="the payment was declined")
        else:
            raise Unavailable(f"payments answered {answer.status_code}: {answer.text[:200]}")

    async def _release(self, order: dict[str, Any]) -> None:
        await self.products.call("DELETE", f"/reservations/{order['id']}")
        await self._step(order, "cancelled", event="shop.order.cancelled")

    async def _step(self, order: dict[str, Any], to: str, *, event: str = "", **changes: Any) -> None:
        """Write the step and the event it causes together, unless somebody else was faster."""

        def work(db: sqlite3.Connection) -> None:
            sets = ", ".join(f"{name}=?" for name in ("step", *changes))
            statement = f"UPDATE purchase SET {sets} WHERE id=? AND step=?"
            if not db.execute(statement, (to, *changes.values(), order["id"], order["step"])).rowcount:
                return
            if event:
                lines = json.loads(changes["lines"]) if "lines" in changes else order["lines"]
                data = {"order_id": order["id"], "user": order["user"], "cart": order["cart"], "lines": lines}
                emit(db, event, data)

        await self.database.write(work)
        self.events.wake()
