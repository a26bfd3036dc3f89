"""REST of the cart service. Prices are not its business: whoever shows a cart asks products."""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, Field

from shopkit.database import Database, rows
from shopkit.events import SCHEMA, Events
from shopkit.service import create, serve
from shopkit.settings import setting

TABLES = """
CREATE TABLE IF NOT EXISTS line (
    cart TEXT NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL CHECK (quantity > 0), PRIMARY KEY (cart, sku));
"""
CartId = Annotated[str, Path(min_length=8, max_length=64)]


def clear_ordered(db: sqlite3.Connection, event: dict[str, Any]) -> None:
    """An order was confirmed: what it took leaves the cart, what was added since stays."""
    for line in event["lines"]:
        db.execute(
            "DELETE FROM line WHERE cart=? AND sku=? AND quantity<=?", (event["cart"], line["sku"], line["quantity"])
        )


database = Database(setting("DB_PATH", "/data/cart.db"), SCHEMA + TABLES)
events = Events(setting("NATS_URL", "nats://nats:4222"), database, {"shop.order.confirmed": clear_ordered})
app = create("Cart", database, events)


class Quantity(BaseModel):
    quantity: int = Field(ge=1, le=99)


@app.get("/carts/{cart}")
async def show(cart: CartId) -> dict[str, Any]:
    query = "SELECT sku, quantity FROM line WHERE cart=? ORDER BY sku"
    lines = await database.read(lambda db: rows(db.execute(query, (cart,))))
    return {"id": cart, "lines": lines}


@app.put("/carts/{cart}/items/{sku}")
async def put_item(cart: CartId, sku: str, body: Quantity) -> dict[str, Any]:
    statement = "INSERT INTO line VALUES (?, ?, ?) ON CONFLICT (cart, sku) DO UPDATE SET quantity=excluded.quantity"
    await database.write(lambda db: db.execute(statement, (cart, sku, body.quantity)))
    return await show(cart)


@app.delete("/carts/{cart}/items/{sku}")
async def delete_item(cart: CartId, sku: str) -> dict[str, Any]:
    await database.write(lambda db: db.execute("DELETE FROM line WHERE cart=? AND sku=?", (cart, sku)))
    return await show(cart)


@app.post("/carts/{cart}/merge/{other}")
async def merge(cart: CartId, other: CartId) -> dict[str, Any]:
    """A visitor logged in: the larger quantity of each product wins, `other` is empty afterwards."""

    def work(db: sqlite3.Connection) -> None:
        db.execute(
            "INSERT INTO line SELECT ?, sku, quantity FROM line WHERE cart=? "
            "ON CONFLICT (cart, sku) DO UPDATE SET quantity=max(quantity, excluded.quantity)",
            (cart, other),
        )
        db.execute("DELETE FROM line WHERE cart=?", (other,))

    if cart != other:
        await database.write(work)
    return await show(cart)


if __name__ == "__main__":
    serve(app)
