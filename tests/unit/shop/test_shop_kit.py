"""Tokens, logs and health: what every service has from the kit."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from shop_in_process import Load, asgi

CARDS = ("4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "340000000000009", "6304000000000000")


@pytest.fixture
def tokens(load: Load) -> Any:
    return load("shopkit.tokens")


def test_a_token_tells_who(tokens: Any) -> None:
    claims = tokens.verify(tokens.issue("ada", "Ada", now=1000), now=1000 + tokens.TOKEN_SECONDS)
    assert (claims["sub"], claims["name"]) == ("ada", "Ada")


def test_an_old_token_is_refused(tokens: Any) -> None:
    with pytest.raises(tokens.BadToken, match="too old"):
        tokens.verify(tokens.issue("ada", "Ada", now=1000), now=1001 + tokens.TOKEN_SECONDS)


@pytest.mark.parametrize("change", ["", "a.b.c", "é.é.é", "{token}x", "x{token}", "{body}."])
def test_a_changed_token_is_refused(tokens: Any, change: str) -> None:
    token = tokens.issue("ada", "Ada")
    with pytest.raises(tokens.BadToken, match="signature"):
        tokens.verify(change.format(token=token, body=token.rpartition(".")[0]))


def test_another_key_is_refused(tokens: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tokens.issue("ada", "Ada")
    monkeypatch.setenv("JWT_KEY", "another")
    with pytest.raises(tokens.BadToken):
        tokens.verify(token)


def line(load: Load, message: str, data: dict[str, Any], error: Exception | None = None) -> str:
    record = logging.LogRecord(
        "shop", logging.INFO, "file", 1, message, (), (type(error), error, None) if error else None
    )
    record.data = data
    text: str = load("shopkit.logs").JsonLines().format(record)
    return text


@pytest.mark.parametrize("card", CARDS)
def test_no_card_number_is_logged(load: Load, card: str) -> None:
    text = line(load, f"paid with {card}, thanks", {"card": card, "body": {"card": [card]}}, ValueError(f"bad {card}"))
    assert card not in text
    row = json.loads(text)
    assert row["message"] == "paid with [card], thanks"
    assert row["card"] == "[card]"
    assert "bad [card]" in row["error"]


def test_a_card_number_that_is_a_number(load: Load) -> None:
    assert json.loads(line(load, "paid", {"card": 4111111111111111}))["card"] == "[card]"


def test_what_is_no_card_number_stays(load: Load) -> None:
    data = {
        "cents": 11800,
        "ms": 12.5,
        "order": "5d37e5aa-8f34-4e87-8c45-604019500000",
        "at": "2026-11-21T03:42:28.123456",
    }
    row = json.loads(line(load, "call 4111111111111112 or 0123456789", data))
    assert {key: row[key] for key in data} == data
    assert row["message"] == "call 4111111111111112 or 0123456789"


def test_a_setting_that_is_missing_is_named(load: Load) -> None:
    with pytest.raises(SystemExit, match="NOWHERE_URL is not set"):
        load("shopkit.settings").setting("NOWHERE_URL")


async def test_a_transaction_is_all_or_nothing(load: Load, tmp_path: Path) -> None:
    database = load("shopkit.database").Database(str(tmp_path / "new" / "kit.db"), "CREATE TABLE number (n INTEGER);")

    def work(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO number VALUES (1)")
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await database.write(work)
    assert await database.read(lambda db: db.execute("SELECT count(*) FROM number").fetchone()[0]) == 0
    database.close()


TABLES = "CREATE TABLE one (n INTEGER PRIMARY KEY); CREATE TABLE two (n REFERENCES one DEFERRABLE INITIALLY DEFERRED);"


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        (
            "INSERT INTO two VALUES (1)",
            "FOREIGN KEY constraint failed",
        ),  # said by COMMIT, which leaves the transaction open
        ("INSERT INTO two VALUES (zeroblob(100000))", "database or disk is full"),  # SQLite rolls back by itself
    ],
)
async def test_a_transaction_that_fails_ends(load: Load, tmp_path: Path, statement: str, error: str) -> None:
    database = load("shopkit.database").Database(str(tmp_path / "kit.db"), TABLES + "PRAGMA max_page_count=8;")
    with pytest.raises(sqlite3.Error, match=error):
        await database.write(lambda db: db.execute(statement))
    await database.write(lambda db: db.execute("INSERT INTO one VALUES (1)"))
    database.close()


async def test_ready_needs_the_database_and_alive_does_not(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    cart = load("cart.app")
    async with asgi(cart) as client:
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"broker": "not connected", "status": "ready"})

        async def broken() -> None:
            raise sqlite3.OperationalError("database is locked")

        monkeypatch.setattr(cart.database, "check", broken)
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["database"]) == (503, "database is locked")
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/info")).json()["service"] == "cart"
