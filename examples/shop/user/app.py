"""REST of the user service."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import sqlite3
import uuid
from typing import Annotated, Any

from fastapi import Header, HTTPException
from pydantic import BaseModel, Field

from shopkit.database import Database
from shopkit.events import SCHEMA, Events, emit
from shopkit.service import create, serve
from shopkit.settings import setting
from shopkit.tokens import BadToken, issue, verify

TABLES = """
CREATE TABLE IF NOT EXISTS user (
    id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL, salt BLOB NOT NULL, digest BLOB NOT NULL);
"""
database = Database(setting("DB_PATH", "/data/user.db"), SCHEMA + TABLES)
events = Events(setting("NATS_URL", "nats://nats:4222"), database)
app = create("User", database, events)


class Credentials(BaseModel):
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=200)
    password: str = Field(min_length=8, max_length=200)


class Registration(Credentials):
    name: str = Field(min_length=1, max_length=100)


@app.post("/users", status_code=201)
async def register(body: Registration) -> dict[str, str]:
    """409 when the address is known."""
    salt, identity = os.urandom(16), str(uuid.uuid4())
    digest = await _digest(body.password, salt)

    def work(db: sqlite3.Connection) -> None:
        row = (identity, body.email.lower(), body.name, salt, digest)
        db.execute("INSERT INTO user VALUES (?, ?, ?, ?, ?)", row)
        emit(db, "shop.user.registered", {"user": identity, "name": body.name})

    try:
        await database.write(work)
    except sqlite3.IntegrityError:
        raise HTTPException(409, "this address has an account already") from None
    events.wake()
    return {"id": identity, "name": body.name, "token": issue(identity, body.name)}


@app.post("/sessions", status_code=201)
async def log_in(body: Credentials) -> dict[str, str]:
    """401 for a wrong address as for a wrong password."""
    query = "SELECT * FROM user WHERE email=?"
    row = await database.read(lambda db: db.execute(query, (body.email.lower(),)).fetchone())
    digest = await _digest(body.password, row["salt"] if row else b"0" * 16)
    if row is None or not hmac.compare_digest(digest, row["digest"]):
        raise HTTPException(401, "the address or the password is wrong")
    return {"id": row["id"], "name": row["name"], "token": issue(row["id"], row["name"])}


@app.get("/users/me")
async def me(authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
    try:
        claims = verify(authorization.removeprefix("Bearer "))
    except (BadToken, ValueError, KeyError) as error:
        raise HTTPException(401, str(error)) from None
    return {"id": claims["sub"], "name": claims["name"]}


async def _digest(password: str, salt: bytes) -> bytes:
    """scrypt as RFC 7914 recommends for logins: about 50 ms, in a thread."""
    return await asyncio.to_thread(hashlib.scrypt, password.encode(), salt=salt, n=2**14, r=8, p=1)


if __name__ == "__main__":
    serve(app)
