"""REST of the payments stub, in Bottle: the other services do not notice."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from typing import Any

from bottle import Bottle, request, response

from shopkit import logs
from shopkit.settings import POD, SERVICE, VERSION, setting
from shopkit.wsgi import serve

TABLES = "CREATE TABLE IF NOT EXISTS charge (order_id TEXT PRIMARY KEY, id TEXT, cents INTEGER, state TEXT)"
app = Bottle()
log = logs.configure()
lock = threading.Lock()
database = sqlite3.connect(setting("DB_PATH", "/data/payments.db"), check_same_thread=False, isolation_level=None)
database.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {TABLES}")


@app.post("/charges")
def charge() -> dict[str, Any]:
    """{order_id, cents, method}; method `declined` is declined (402). Charged once per order id."""
    body = request.json
    if not isinstance(body, dict) or not {"order_id", "cents", "method"} <= body.keys():
        response.status = 422
        return {"detail": "order_id, cents and method are needed"}
    state = "declined" if body["method"] == "declined" else "captured"
    row = (body["order_id"], str(uuid.uuid4()), int(body["cents"]), state)
    with lock:
        database.execute("INSERT INTO charge VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", row)
        found = database.execute("SELECT id, cents, state FROM charge WHERE order_id=?", (row[0],)).fetchone()
    log.info("charge %s", found[2], extra={"data": {"order": row[0], "cents": found[1]}})
    response.status = 201 if found[2] == "captured" else 402
    return {"id": found[0], "order_id": row[0], "cents": found[1], "state": found[2]}


@app.post("/refunds")
def refund() -> dict[str, Any]:
    """{order_id}: give the money back; again changes nothing."""
    order_id = (request.json or {}).get("order_id", "")
    with lock:
        database.execute("UPDATE charge SET state='refunded' WHERE order_id=? AND state='captured'", (order_id,))
    return {"order_id": order_id, "state": "refunded"}


@app.get("/charges/<order_id>")
def show(order_id: str) -> dict[str, Any]:
    with lock:
        found = database.execute("SELECT id, cents, state FROM charge WHERE order_id=?", (order_id,)).fetchone()
    if found is None:
        response.status = 404
        return {"detail": f"no charge for order {order_id}"}
    return {"id": found[0], "order_id": order_id, "cents": found[1], "state": found[2]}


@app.get("/livez")
@app.get("/readyz")
def health() -> dict[str, str]:
    with lock:
        database.execute("SELECT 1")
    return {"status": "ok"}


@app.get("/info")
def info() -> dict[str, str]:
    return {"service": SERVICE, "version": VERSION, "pod": POD}


if __name__ == "__main__":
    log.info("started")
    serve(app, threads=8)
