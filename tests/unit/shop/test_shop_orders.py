"""Checkout: one order per Idempotency-Key, and a saga whose every step may fail, be repeated, or be resumed."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from shop_in_process import Faulty, Load, asgi

ORDER = {"cart": "cart-0001", "lines": [{"sku": "oar", "quantity": 2}], "method": "card"}


class Checkout:
    """Orders, products and payments, wired to one another."""

    def __init__(self, load: Load) -> None:
        self.payments, self.products = load("payments.app"), load("products.app")
        self.orders = load("orders.app")
        self.to_payments, self.to_products = Faulty(self.payments), Faulty(self.products)
        calls = self.orders.Service
        self.orders.saga.products = calls("products", "http://products", self.to_products)
        self.orders.saga.payments = calls("payments", "http://payments", self.to_payments)
        self.token = self.orders.verify.__globals__["issue"]("ada", "Ada")

    async def stock(self, stock: int | None = None) -> int:
        """Of oars; given a number, set it first."""
        async with asgi(self.products) as client:
            if stock is not None:
                oar = {"name": "Oar", "price_cents": 5900, "stock": stock}
                assert (
                    await client.put("/products/oar", json=oar, headers={"X-Admin-Key": "admin"})
                ).status_code == 200
            found: int = (await client.get("/products/oar")).json()["stock"]
            return found

    async def place(self, key: str | None = "key-1", **changes: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **({"Idempotency-Key": key} if key else {})}
        async with asgi(self.orders) as client:
            return await client.post("/orders", json={**ORDER, **changes}, headers=headers)

    async def resume(self) -> list[dict[str, Any]]:
        """What the sweeper does, for all orders at once."""
        return [await self.orders.saga.advance(row["id"]) for row in self.rows("SELECT id FROM purchase")]

    def rows(self, query: str) -> list[dict[str, Any]]:
        database = self.orders.database
        work = database._thread.submit(lambda: [dict(row) for row in database._connection.execute(query)])
        found: list[dict[str, Any]] = work.result()
        return found

    def charges(self) -> list[tuple[str, int, str]]:
        found: list[tuple[str, int, str]] = self.payments.database.execute(
            "SELECT order_id, cents, state FROM charge"
        ).fetchall()
        return found

    def events(self) -> list[str]:
        return [row["subject"] for row in self.rows("SELECT subject FROM outbox ORDER BY sequence")]


@pytest.fixture
def checkout(load: Load, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    found = Checkout(load)
    calls = found.orders.Service.__init__.__globals__
    monkeypatch.setattr(calls["random"], "uniform", lambda *_: 0.0)  # repeat at once
    return found


async def test_an_order_is_confirmed(checkout: Checkout) -> None:
    await checkout.stock(10)
    answer = await checkout.place()
    assert (answer.status_code, answer.json()["state"], answer.json()["cents"]) == (201, "confirmed", 11800)
    assert answer.json()["lines"] == [{"sku": "oar", "quantity": 2, "name": "Oar", "price_cents": 5900}]
    assert await checkout.stock() == 8
    assert checkout.charges() == [(answer.json()["id"], 11800, "captured")]
    assert checkout.events() == ["shop.order.confirmed"]


async def test_an_order_waits_while_its_database_takes_nothing(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout.orders, "SWEEP_SECONDS", 0)
    monkeypatch.setattr(checkout.orders, "REQUEST_SECONDS", -60)  # every order is old enough
    await checkout.stock(10)
    full = "CREATE TRIGGER full BEFORE UPDATE ON purchase BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    await checkout.orders.database.write(lambda db: db.execute(full))
    order = checkout.orders.Order.model_validate(ORDER)
    identity = await checkout.orders.database.write(lambda db: checkout.orders._record(db, "key-1", "ada", order))
    sweeper = asyncio.create_task(checkout.orders.sweep())
    while checkout.to_products.calls < 2 and not sweeper.done():
        await asyncio.sleep(0)
    assert not sweeper.done(), "a process that ends again and again is left alone for minutes"
    await checkout.orders.database.write(lambda db: db.execute("DROP TRIGGER full"))
    while (await checkout.orders.saga.read(identity))["step"] != "confirmed":
        assert not sweeper.done()
    sweeper.cancel()


async def test_the_same_key_is_the_same_order(checkout: Checkout) -> None:
    await checkout.stock(10)
    first, second = await checkout.place(), await checkout.place()
    assert (second.status_code, second.json()) == (201, first.json())
    assert len(checkout.charges()) == 1
    assert checkout.events() == ["shop.order.confirmed"]
    assert await checkout.stock() == 8


async def test_many_at_once_with_one_key_are_one_order(checkout: Checkout) -> None:
    await checkout.stock(100)
    answers = await asyncio.gather(*(checkout.place() for _ in range(20)))
    assert {answer.json()["id"] for answer in answers} == {checkout.rows("SELECT id FROM purchase")[0]["id"]}
    assert {answer.status_code for answer in answers} == {201}
    assert await checkout.stock() == 98
    assert len(checkout.charges()) == 1
    assert checkout.events() == ["shop.order.confirmed"]


async def test_a_key_is_for_one_body(checkout: Checkout) -> None:
    await checkout.stock(10)
    await checkout.place()
    other = await checkout.place(method="invoice")
    assert (other.status_code, other.json()["detail"]) == (422, "this Idempotency-Key was used for another order")
    assert len(checkout.charges()) == 1


async def test_a_key_is_needed(checkout: Checkout) -> None:
    assert (await checkout.place(key=None)).status_code == 422
    assert checkout.rows("SELECT * FROM purchase") == []


async def test_a_key_is_one_users_own(checkout: Checkout) -> None:
    await checkout.stock(10)
    first = await checkout.place()
    checkout.token = checkout.orders.verify.__globals__["issue"]("bob", "Bob")
    assert (await checkout.place()).json()["id"] != first.json()["id"]


@pytest.mark.parametrize(
    "change",
    [
        {"lines": []},
        {"lines": [{"sku": "oar", "quantity": 0}]},
        {"lines": [{"sku": "oar", "quantity": 100}]},
        {"method": "shells"},
    ],
)
async def test_what_is_no_order(checkout: Checkout, change: dict[str, Any]) -> None:
    assert (await checkout.place(**change)).status_code == 422
    assert checkout.rows("SELECT * FROM purchase") == []


async def test_declined_gives_the_stock_back(checkout: Checkout) -> None:
    await checkout.stock(10)
    answer = await checkout.place(method="declined")
    assert (answer.status_code, answer.json()["state"]) == (402, "cancelled")
    assert answer.json()["reason"] == "the payment was declined"
    assert await checkout.stock() == 10
    assert checkout.events() == ["shop.order.cancelled"]


async def test_sold_out_charges_nobody(checkout: Checkout) -> None:
    await checkout.stock(1)
    answer = await checkout.place()
    assert (answer.status_code, answer.json()["reason"]) == (409, "not enough of oar")
    assert await checkout.stock() == 1
    assert checkout.charges() == []


@pytest.mark.parametrize("fault", ["refused", "slow", "broken", "lost"])
async def test_one_failed_call_is_repeated(checkout: Checkout, fault: str) -> None:
    await checkout.stock(10)
    checkout.to_payments.faults.append(fault)
    checkout.to_products.faults.append(fault)
    assert (await checkout.place()).status_code == 201
    assert len(checkout.charges()) == 1
    assert await checkout.stock() == 8


async def test_paid_but_never_told_is_paid_once(checkout: Checkout) -> None:
    await checkout.stock(10)
    checkout.to_payments.faults += ["lost"] * 3
    answer = await checkout.place()
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    assert len(checkout.charges()) == 1
    [order] = await checkout.resume()
    assert order["step"] == "confirmed"
    assert len(checkout.charges()) == 1
    assert (await checkout.place()).status_code == 201


async def test_payments_away_is_accepted_and_finished_later(checkout: Checkout) -> None:
    await checkout.stock(10)
    checkout.to_payments.faults += ["refused"] * 3
    assert (await checkout.place()).status_code == 202
    assert checkout.rows("SELECT step FROM purchase") == [{"step": "charge"}]
    assert [order["step"] for order in await checkout.resume()] == ["confirmed"]


async def test_what_fails_again_and_again_is_left_alone(checkout: Checkout) -> None:
    await checkout.stock(10)
    checkout.to_payments.faults += ["refused"] * 30
    for number in range(4):
        assert (await checkout.place(key=f"key-{number}")).status_code == 202
    assert checkout.to_payments.calls == 6  # five in a row open the circuit; the sixth was on its way


async def test_two_who_resume_one_order_confirm_it_once(checkout: Checkout) -> None:
    await checkout.stock(10)
    checkout.to_payments.faults += ["refused"] * 3
    await checkout.place()
    await asyncio.gather(*(checkout.resume() for _ in range(5)))
    assert checkout.events() == ["shop.order.confirmed"]
    assert len(checkout.charges()) == 1


async def test_orders_are_their_users_own(checkout: Checkout) -> None:
    await checkout.stock(10)
    order = (await checkout.place()).json()["id"]
    bob = checkout.orders.verify.__globals__["issue"]("bob", "Bob")
    async with asgi(checkout.orders) as client:
        assert (await client.get("/orders")).status_code == 401
        assert (await client.get("/orders", headers={"Authorization": "Bearer é".encode("latin-1")})).status_code == 401
        assert (await client.get(f"/orders/{order}", headers={"Authorization": f"Bearer {bob}"})).status_code == 404
        mine = await client.get("/orders", headers={"Authorization": f"Bearer {checkout.token}"})
        assert [each["id"] for each in mine.json()["items"]] == [order]
