"""Each service by itself, through its own HTTP application."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest
from shop_in_process import Load, asgi

ADMIN = {"X-Admin-Key": "admin"}
ADA = {"email": "Ada@example.com", "password": "correct horse", "name": "Ada"}


def test_payments_charges_an_order_once(load: Load) -> None:
    with httpx.Client(
        transport=httpx.WSGITransport(app=load("payments.app").app), base_url="http://payments"
    ) as client:
        charge = {"order_id": "one", "cents": 100, "method": "card"}
        first, second = (client.post("/charges", json=charge) for _ in range(2))
        assert (first.status_code, first.json()["state"]) == (201, "captured")
        assert second.json() == first.json()
        assert client.get("/charges/one").json()["cents"] == 100
        assert client.post("/charges", json={**charge, "order_id": "two", "method": "declined"}).status_code == 402
        assert client.post("/charges", json={"order_id": "three"}).status_code == 422
        for _ in range(2):
            assert client.post("/refunds", json={"order_id": "one"}).json()["state"] == "refunded"
        assert client.post("/charges", json=charge).status_code == 402  # refunded is not paid
        assert client.get("/charges/none").status_code == 404


async def test_cart_quantities_are_absolute(load: Load) -> None:
    async with asgi(load("cart.app")) as client:
        for _ in range(2):
            answer = await client.put("/carts/visitor-1/items/oar", json={"quantity": 2})
        assert answer.json() == {"id": "visitor-1", "lines": [{"sku": "oar", "quantity": 2}]}
        for quantity in (0, 100, "many"):
            assert (await client.put("/carts/visitor-1/items/oar", json={"quantity": quantity})).status_code == 422
        await client.put("/carts/visitor-2/items/oar", json={"quantity": 5})
        merged = (await client.post("/carts/visitor-1/merge/visitor-2")).json()
        assert merged["lines"] == [{"sku": "oar", "quantity": 5}]
        assert (await client.get("/carts/visitor-2")).json()["lines"] == []
        assert (await client.delete("/carts/visitor-1/items/oar")).json()["lines"] == []


async def test_an_order_clears_what_it_took_from_its_cart(load: Load) -> None:
    cart = load("cart.app")
    async with asgi(cart) as client:
        await client.put("/carts/visitor-1/items/oar", json={"quantity": 2})
        await client.put("/carts/visitor-1/items/map", json={"quantity": 3})
        event = {"cart": "visitor-1", "lines": [{"sku": "oar", "quantity": 2}, {"sku": "map", "quantity": 1}]}
        await cart.database.write(lambda db: cart.clear_ordered(db, event))
        assert (await client.get("/carts/visitor-1")).json()["lines"] == [{"sku": "map", "quantity": 3}]


async def test_users_register_once_and_log_in(load: Load) -> None:
    async with asgi(load("user.app")) as client:
        registered = await client.post("/users", json=ADA)
        assert registered.status_code == 201
        assert (await client.post("/users", json={**ADA, "email": "ada@example.com"})).status_code == 409
        for email, password, status in (
            ("ada@example.com", "correct horse", 201),
            ("ada@example.com", "wrong horse!", 401),
            ("eve@example.com", "correct horse", 401),
        ):
            assert (await client.post("/sessions", json={"email": email, "password": password})).status_code == status
        token = registered.json()["token"]
        me = await client.get("/users/me", headers={"Authorization": f"Bearer {token}"})
        assert me.json() == {"id": registered.json()["id"], "name": "Ada"}
        assert (await client.get("/users/me")).status_code == 401
        for change in ({"email": "nobody"}, {"password": "short"}, {"name": ""}):
            assert (await client.post("/users", json={**ADA, **change})).status_code == 422


async def test_products_are_browsed_page_by_page(load: Load) -> None:
    async with asgi(load("products.app")) as client:
        for number in range(5):
            body = {"name": f"Thing {number}", "price_cents": 100, "stock": 1}
            assert (await client.put(f"/products/thing-{number}", json=body, headers=ADMIN)).status_code == 200
        assert (await client.put("/products/x", json=body)).status_code == 403
        assert (await client.put("/products/x", json=body, headers={"X-Admin-Key": "é".encode()})).status_code == 403
        seen: list[str] = []
        cursor: Any = ""
        while cursor is not None:
            page = (await client.get("/products", params={"cursor": cursor, "limit": 2})).json()
            seen += [item["sku"] for item in page["items"]]
            cursor = page["next"]
        assert seen == [f"thing-{number}" for number in range(5)]
        assert [item["sku"] for item in (await client.get("/products?q=Thing 3")).json()["items"]] == ["thing-3"]
        found = await client.get("/products/thing-1")
        again = await client.get("/products/thing-1", headers={"If-None-Match": found.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (await client.get("/products/none")).status_code == 404


async def test_reservations_over_http(load: Load) -> None:
    async with asgi(load("products.app")) as client:
        await client.put("/products/oar", json={"name": "Oar", "price_cents": 100, "stock": 3}, headers=ADMIN)
        body = {"order_id": "order", "items": [{"sku": "oar", "quantity": 2}]}
        first, second = [await client.post("/reservations", json=body) for _ in range(2)]
        assert (first.status_code, second.json()) == (200, first.json())
        other = await client.post("/reservations", json={**body, "order_id": "other"})
        assert (other.status_code, other.json()["detail"]) == (409, "not enough of oar")
        for _ in range(2):
            assert (await client.delete("/reservations/order")).status_code == 204
        assert (await client.get("/products/oar")).json()["stock"] == 3


async def test_a_parcel_is_made_once_and_moves_by_signed_scans(load: Load) -> None:
    tracking = load("tracking.app")
    for _ in range(2):
        await tracking.database.write(lambda db: tracking.ship(db, {"order_id": "order"}))
    async with asgi(tracking) as client:
        parcel = (await client.get("/shipments/order")).json()
        assert parcel["state"] == "label created"
        body = json.dumps({"code": parcel["code"]})
        signature = hmac.new(b"carrier", body.encode(), hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Signature": signature}
        for _ in range(6):
            assert (await client.post("/scans", content=body, headers=headers)).status_code == 200
        for wrong in ("0" * 64, "é".encode()):
            assert (
                await client.post("/scans", content=body, headers={**headers, "X-Signature": wrong})
            ).status_code == 401
        parcel = (await client.get(f"/track/{parcel['code']}")).json()
        assert parcel["state"] == "delivered"
        assert [scan["what"] for scan in parcel["history"]] == list(parcel["steps"])
        assert (await client.get("/track/WHNONE")).status_code == 404
    events = await tracking.database.read(
        lambda db: [row["subject"] for row in db.execute("SELECT subject FROM outbox")]
    )
    assert events.count("shop.shipment.created") == 1


async def test_parcels_wait_while_their_database_takes_nothing(
    load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracking = load("tracking.app")
    monkeypatch.setattr(tracking, "CARRIER_SECONDS", 0)
    full = "CREATE TRIGGER full BEFORE UPDATE ON shipment BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    await tracking.database.write(lambda db: tracking.ship(db, {"order_id": "order"}))
    await tracking.database.write(lambda db: db.execute(full))
    carrier = asyncio.create_task(tracking.carrier())
    while [each.message for each in caplog.records].count("parcels wait") < 2 and not carrier.done():
        await asyncio.sleep(0)
    assert not carrier.done(), "a process that ends again and again is left alone for minutes"
    await tracking.database.write(lambda db: db.execute("DROP TRIGGER full"))
    last = len(tracking.STEPS) - 1
    while await tracking.database.read(lambda db: db.execute("SELECT step FROM shipment").fetchone()[0]) < last:
        assert not carrier.done()
    carrier.cancel()


async def test_services_describe_themselves(load: Load) -> None:
    for name in ("products", "cart", "user", "orders", "tracking"):
        async with asgi(load(f"{name}.app")) as client:
            document = (await client.get("/openapi.json")).json()
        assert document["openapi"].startswith("3.1")
        assert not [path for path in document["paths"] if path in ("/livez", "/readyz", "/info")]
