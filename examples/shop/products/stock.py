"""What is for sale, how many there are, and for which order some are set aside. Runs inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from typing import Any

from shopkit.events import emit

SCHEMA = """
CREATE TABLE IF NOT EXISTS product (
    sku TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL, price_cents INTEGER NOT NULL,
    art TEXT NOT NULL, stock INTEGER NOT NULL CHECK (stock >= 0));
CREATE TABLE IF NOT EXISTS reservation (
    order_id TEXT NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL, name TEXT NOT NULL,
    price_cents INTEGER NOT NULL, PRIMARY KEY (order_id, sku));
CREATE TABLE IF NOT EXISTS released (order_id TEXT PRIMARY KEY);
"""


class OutOfStock(Exception):
    """Not enough of it, or an order that was cancelled already."""


def put(db: sqlite3.Connection, sku: str, product: dict[str, Any]) -> None:
    db.execute(
        "INSERT INTO product (sku, name, description, price_cents, art, stock) "
        "VALUES (:sku, :name, :description, :price_cents, :art, coalesce(:stock, 0)) "
        "ON CONFLICT (sku) DO UPDATE SET name=:name, description=:description, price_cents=:price_cents, art=:art, "
        "stock=coalesce(:stock, stock)",
        {"sku": sku, **product},
    )


def reserve(db: sqlite3.Connection, order_id: str, items: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """Lines with the names and prices of now, which the order keeps. Raises OutOfStock."""
    lines = _lines(db, order_id)
    if lines:
        return lines
    if db.execute("SELECT 1 FROM released WHERE order_id=?", (order_id,)).fetchone():
        raise OutOfStock(f"order {order_id} was cancelled")  # a late retry must not take stock for good
    for sku, quantity in items:
        row = db.execute(
            "UPDATE product SET stock = stock - ? WHERE sku=? AND stock >= ? RETURNING name, price_cents, stock",
            (quantity, sku, quantity),
        ).fetchone()
        if row is None:
            raise OutOfStock(f"not enough of {sku}")
        db.execute(
            "INSERT INTO reservation VALUES (?, ?, ?, ?, ?)",
            (order_id, sku, quantity, row["name"], row["price_cents"]),
        )
        emit(db, "shop.stock.changed", {"sku": sku, "stock": row["stock"]})
    return _lines(db, order_id)


def release(db: sqlite3.Connection, order_id: str) -> None:
    """Put back what was set aside; again changes nothing."""
    for line in _lines(db, order_id):
        row = db.execute(
            "UPDATE product SET stock = stock + ? WHERE sku=? RETURNING stock", (line["quantity"], line["sku"])
        ).fetchone()
        emit(db, "shop.stock.changed", {"sku": line["sku"], "stock": row["stock"]})
    db.execute("DELETE FROM reservation WHERE order_id=?", (order_id,))
    db.execute("INSERT INTO released VALUES (?) ON CONFLICT DO NOTHING", (order_id,))


def on_order_cancelled(db: sqlite3.Connection, event: dict[str, Any]) -> None:
    release(db, event["order_id"])


def _lines(db: sqlite3.Connection, order_id: str) -> list[dict[str, Any]]:
    found = db.execute(
        "SELECT sku, quantity, name, price_cents FROM reservation WHERE order_id=? ORDER BY sku", (order_id,)
    )
    return [dict(row) for row in found]
