"""REST of the products service: browse, change as administrator, reserve for an order."""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
from typing import Annotated, Any

from fastapi import Header, HTTPException, Query, Response
from pydantic import BaseModel, Field

from products import stock
from shopkit.database import Database, rows
from shopkit.events import SCHEMA, Events, emit
from shopkit.service import create, serve
from shopkit.settings import setting

PAGE = 24

database = Database(setting("DB_PATH", "/data/products.db"), SCHEMA + stock.SCHEMA)
events = Events(setting("NATS_URL", "nats://nats:4222"), database, {"shop.order.cancelled": stock.on_order_cancelled})
app = create("Products", database, events)


class Product(BaseModel):
    name: str = Field(min_length=1, max_length=100)
    description: str = ""
    price_cents: int = Field(ge=0)
    art: str = ""
    stock: int | None = Field(ge=0, default=None, description="left out: as it is, 0 for a new product")


class Item(BaseModel):
    sku: str
    quantity: int = Field(gt=0, le=99)


class Reservation(BaseModel):
    order_id: str
    items: list[Item] = Field(min_length=1)


@app.get("/products")
async def browse(q: str = "", cursor: str = "", limit: Annotated[int, Query(ge=1, le=100)] = PAGE) -> dict[str, Any]:
    """Products in order of their SKU; `cursor` is the last SKU of the page before."""

    def work(db: sqlite3.Connection) -> list[dict[str, Any]]:
        return rows(
            db.execute(
                "SELECT * FROM product WHERE sku > ? AND (name LIKE ? OR description LIKE ?) ORDER BY sku LIMIT ?",
                (cursor, f"%{q}%", f"%{q}%", limit + 1),
            )
        )

    found = await database.read(work)
    return {"items": found[:limit], "next": found[limit - 1]["sku"] if len(found) > limit else None}


@app.get("/products/{sku}", response_model=None)
async def product(sku: str, if_none_match: Annotated[str, Header()] = "") -> Response:
    found = await database.read(lambda db: rows(db.execute("SELECT * FROM product WHERE sku=?", (sku,))))
    if not found:
        raise HTTPException(404, f"no product {sku}")
    body = json.dumps(found[0])
    tag = f'"{hashlib.sha256(body.encode()).hexdigest()[:16]}"'
    if if_none_match == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, media_type="application/json", headers={"ETag": tag})


@app.put("/products/{sku}")
async def put_product(sku: str, body: Product, x_admin_key: Annotated[str, Header()] = "") -> Product:
    """Create or change; only with the administrator's key."""
    if not hmac.compare_digest(x_admin_key.encode(), setting("ADMIN_KEY").encode()):
        raise HTTPException(403, "the administrator's key is needed (header X-Admin-Key)")

    def work(db: sqlite3.Connection) -> None:
        stock.put(db, sku, body.model_dump())
        emit(db, "shop.product.changed", {"sku": sku, **body.model_dump()})

    await database.write(work)
    events.wake()
    return body


@app.post("/reservations")
async def reserve(body: Reservation) -> dict[str, Any]:
    """Set stock aside for an order: all items or none (409). The same order again gives the same answer."""
    items = [(item.sku, item.quantity) for item in body.items]
    try:
        lines = await database.write(lambda db: stock.reserve(db, body.order_id, items))
    except stock.OutOfStock as error:
        raise HTTPException(409, str(error)) from None
    events.wake()
    return {"order_id": body.order_id, "lines": lines}


@app.delete("/reservations/{order_id}", status_code=204)
async def release(order_id: str) -> None:
    await database.write(lambda db: stock.release(db, order_id))
    events.wake()


if __name__ == "__main__":
    serve(app)
