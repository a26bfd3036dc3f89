"""The oracle itself: books that agree pass, and every way in which they may disagree is found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from shop_in_process import Load


@pytest.fixture
def verify(load: Load) -> Any:
    return load("verify")


def purchase(order: str, step: str = "confirmed") -> dict[str, Any]:
    lines = json.dumps([{"sku": "oar", "quantity": 2}])
    return {"id": order, "step": step, "cents": 100, "lines": lines, "tracking": f"WH-{order}"}


def books(verify: Any, *orders: str, declined: tuple[str, ...] = ()) -> Any:
    return verify.Books(
        orders={
            **{each: purchase(each) for each in orders},
            **{each: purchase(each, "cancelled") for each in declined},
        },
        keys={f"key-{each}": each for each in (*orders, *declined)},
        charges={each: {"cents": 100, "state": "captured"} for each in orders},
        parcels=Counter(orders),
        stock=Counter({"oar": 100 - 2 * len(orders)}),
        reserved={each: Counter({"oar": 2}) for each in orders},
        outbox=0,
    )


def wishes(verify: Any) -> list[Any]:
    return [
        verify.Wish("key-a", "a", "confirmed"),
        verify.Wish("key-b", "b", "accepted"),
        verify.Wish("key-c", "", "refused"),
    ]


def test_books_that_agree(verify: Any) -> None:
    after = books(verify, "old", "a", "b", declined=("c",))
    assert after.settled
    report = verify.compare(books(verify, "old"), after, wishes(verify), 3)
    assert report.wrong == []
    assert "orders made" in str(report)


def lose_order(books: Any) -> None:
    del books.keys["key-b"]


def double_order(books: Any) -> None:
    books.orders["d"] = purchase("d", "cancelled")


def charge_for_nothing(books: Any) -> None:
    books.charges["c"] = {"cents": 100, "state": "captured"}


def charge_too_much(books: Any) -> None:
    books.charges["a"]["cents"] = 101


def forget_to_charge(books: Any) -> None:
    del books.charges["a"]


def forget_to_ship(books: Any) -> None:
    del books.parcels["a"]


def ship_twice(books: Any) -> None:
    books.parcels["a"] += 1


def ship_what_was_cancelled(books: Any) -> None:
    books.parcels["c"] += 1


def lose_stock(books: Any) -> None:
    books.stock["oar"] -= 1


def keep_what_was_cancelled(books: Any) -> None:
    books.reserved["c"] = Counter({"oar": 2})
    books.stock["oar"] -= 2


def stick(books: Any) -> None:
    books.orders["b"]["step"] = "charge"


def forget_to_send(books: Any) -> None:
    books.outbox = 1


def forget_the_parcel(books: Any) -> None:
    books.orders["a"]["tracking"] = ""


def promise_what_is_not(books: Any) -> None:
    books.orders["a"]["step"] = "cancelled"


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lose_order, "orders made"),
        (double_order, "orders nobody wanted (duplicates)"),
        (charge_for_nothing, "charged ≠ confirmed"),
        (charge_too_much, "charged another sum"),
        (forget_to_charge, "charged ≠ confirmed"),
        (forget_to_ship, "confirmed without a parcel"),
        (ship_twice, "parcels too many"),
        (ship_what_was_cancelled, "parcels too many"),
        (lose_stock, "stock drift"),
        (keep_what_was_cancelled, "reserved ≠ confirmed"),
        (stick, "stuck"),
        (forget_to_send, "events never sent"),
        (forget_the_parcel, "confirmed without its number"),
        (promise_what_is_not, "visitors told something else"),
    ],
)
def test_books_that_disagree(verify: Any, harm: Callable[[Any], None], found: str) -> None:
    after = books(verify, "old", "a", "b", declined=("c",))
    harm(after)
    assert found in verify.compare(books(verify, "old"), after, wishes(verify), 3).wrong


@pytest.mark.parametrize("harm", [stick, forget_to_send, forget_to_ship, forget_the_parcel])
def test_what_is_under_way_is_waited_for(verify: Any, harm: Callable[[Any], None]) -> None:
    after = books(verify, "a", "b")
    harm(after)
    assert not after.settled
