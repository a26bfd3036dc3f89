"""What one request costs among more and more objects: 100, 1,000, 10,000 and 100,000 ConfigMaps in one namespace.

The API server's core over SQLite in one process, asked as its edge asks it. Read along a row: only what returns more objects,
or looks at all of them (a selector), should grow.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from wherry.aio.clock import RealClock
from wherry.api.scheme import Scheme
from wherry.apiserver.app import App, Options
from wherry.apiserver.auth.user import MASTERS, User
from wherry.apiserver.filters.request_info import parse_query
from wherry.apiserver.http import Request, Response
from wherry.storage.sqlite import SqliteStorage

SIZES = (100, 1_000, 10_000, 100_000)
WRITERS = 64
REPEATS = 50
MAPS = "/api/v1/namespaces/shop/configmaps"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"


def rows() -> Iterator[tuple[str, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        yield from asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> list[tuple[str, ...]]:
    storage = SqliteStorage(folder / "state.db")
    await storage.start()
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    app = App(Scheme.load(), storage, RealClock(), random.Random(1), Options(service_account_key=key))
    await _ask(app, "POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    columns: list[dict[str, str]] = []
    there = 0
    for size in SIZES:
        await _fill(app, there, size)
        there = size
        columns.append(await _costs(app, size))
    await storage.close()
    heads = [("microseconds per request", *(f"{size:,}" for size in SIZES))]
    return heads + [(name, *(column[name] for column in columns)) for name in columns[0]]


async def _fill(app: App, start: int, end: int) -> None:
    numbers = iter(range(start, end))

    async def write() -> None:
        for number in numbers:
            labels = {"share": str(number % 100)}
            await _ask(
                app, "POST", MAPS, {"metadata": {"name": f"o{number:06}", "labels": labels}, "data": {"a": "x" * 200}}
            )

    await asyncio.gather(*(write() for _ in range(WRITERS)))


async def _costs(app: App, size: int) -> dict[str, str]:
    rng = random.Random(size)
    names = [f"{MAPS}/o{rng.randrange(size):06}" for _ in range(REPEATS)]
    changes = [{"data": {"a": str(number)}} for number in range(REPEATS)]
    applied = [{"apiVersion": "v1", "kind": "ConfigMap", **change} for change in changes]
    return {
        "GET of one": await _time([("GET", name, None, "") for name in names], app),
        "create": await _time([("POST", MAPS, {"metadata": {"generateName": "new-"}}, "") for _ in names], app),
        "merge patch": await _time([("PATCH", n, c, MERGE) for n, c in zip(names, changes, strict=True)], app),
        "server-side apply": await _time(
            [("PATCH", f"{n}?fieldManager=bench&force=true", a, APPLY) for n, a in zip(names, applied, strict=True)],
            app,
        ),
        "LIST, a page of 100": await _time([("GET", f"{MAPS}?limit=100", None, "")] * REPEATS, app),
        "LIST by a label of 1 %": await _time([("GET", f"{MAPS}?labelSelector=share%3D7", None, "")] * 5, app),
        "LIST by a name": await _time([("GET", f"{MAPS}?fieldSelector=metadata.name%3Do000007", None, "")] * 5, app),
    }


async def _time(requests: list[tuple[str, str, Any, str]], app: App) -> str:
    """One after the other: microseconds each."""
    begin = time.perf_counter()
    for method, target, body, content_type in requests:
        await _ask(app, method, target, body, content_type)
    return f"{(time.perf_counter() - begin) / len(requests) * 1e6:.0f}"


async def _ask(app: App, method: str, target: str, body: Any = None, content_type: str = "") -> None:
    path, _, query = target.partition("?")
    headers = {"content-type": content_type or "application/json", "user-agent": "bench/1"}
    data = b"" if body is None else json.dumps(body).encode()
    answer = await app.handle(
        Request(method, path, parse_query(query), headers, data, query, user=User("b", (MASTERS,)))
    )
    assert isinstance(answer, Response)
    assert answer.status < 300, answer.obj
