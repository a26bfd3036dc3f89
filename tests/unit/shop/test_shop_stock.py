"""Stock is conserved: what is reserved leaves the shelf once and comes back once."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from shop_in_process import Load


@pytest.fixture
def stock(load: Load) -> Any:
    return load("products.stock")


@pytest.fixture
def db(stock: Any, load: Load) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.row_factory = sqlite3.Row
    database.executescript(load("shopkit.events").SCHEMA + stock.SCHEMA)
    for sku, count in (("oar", 10), ("map", 5)):
        stock.put(database, sku, {"name": sku, "description": "", "price_cents": 100, "art": "", "stock": count})
    yield database
    database.close()


def left(db: sqlite3.Connection) -> dict[str, int]:
    return dict(map(tuple, db.execute("SELECT sku, stock FROM product").fetchall()))


def test_reserving_again_changes_nothing(stock: Any, db: sqlite3.Connection) -> None:
    first = stock.reserve(db, "order", [("oar", 2), ("map", 1)])
    assert stock.reserve(db, "order", [("oar", 2), ("map", 1)]) == first
    assert left(db) == {"oar": 8, "map": 4}


def test_releasing_again_changes_nothing(stock: Any, db: sqlite3.Connection) -> None:
    stock.reserve(db, "order", [("oar", 2)])
    stock.release(db, "order")
    stock.release(db, "order")
    assert left(db) == {"oar": 10, "map": 5}


def test_a_late_retry_of_a_cancelled_order_takes_nothing(stock: Any, db: sqlite3.Connection) -> None:
    stock.release(db, "order")
    with pytest.raises(stock.OutOfStock, match="was cancelled"):
        stock.reserve(db, "order", [("oar", 1)])
    assert left(db) == {"oar": 10, "map": 5}


def test_all_or_nothing(stock: Any, db: sqlite3.Connection) -> None:
    db.execute("BEGIN")
    with pytest.raises(stock.OutOfStock, match="not enough of map"):
        stock.reserve(db, "order", [("oar", 1), ("map", 6)])
    db.execute("ROLLBACK")  # as shopkit.database does for whatever fails
    assert left(db) == {"oar": 10, "map": 5}


def test_prices_are_those_of_the_moment(stock: Any, db: sqlite3.Connection) -> None:
    stock.reserve(db, "order", [("oar", 1)])
    stock.put(db, "oar", {"name": "dearer", "description": "", "price_cents": 999, "art": "", "stock": None})
    assert stock.reserve(db, "order", [("oar", 1)])[0]["price_cents"] == 100
    assert left(db)["oar"] == 9  # a change without a stock leaves it alone


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_nothing_appears_or_is_lost(stock: Any, db: sqlite3.Connection, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        order = f"order-{chance.randrange(8)}"
        db.execute("BEGIN")
        try:
            if chance.random() < 0.6:
                stock.reserve(db, order, [(sku, chance.randint(1, 4)) for sku in chance.sample(["oar", "map"], 2)])
            else:
                stock.release(db, order)
            db.execute("COMMIT")
        except stock.OutOfStock:
            db.execute("ROLLBACK")
        query = "SELECT sku, sum(quantity) FROM reservation GROUP BY sku"
        reserved = dict(map(tuple, db.execute(query).fetchall()))
        assert {sku: count + reserved.get(sku, 0) for sku, count in left(db).items()} == {"oar": 10, "map": 5}
