"""Custom resources: from definition to being served, writes and reads of objects, beside the same with ConfigMaps.

The API server's core over SQLite in one process, asked as its edge asks it: bytes in, bytes out, without a socket.
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

OBJECTS = 1000
WRITERS = 16
DEFINITIONS = 200
PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FIELDS: dict[str, Any] = {
    "replicas": {"type": "integer", "minimum": 0, "default": 1},
    "image": {"type": "string", "pattern": "^[a-z0-9/:.-]+$"},
    "ports": {
        "type": "array",
        "maxItems": 20,
        "items": {
            "type": "object",
            "required": ["port"],
            "properties": {"port": {"type": "integer"}, "name": {"type": "string"}},
        },
    },
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
}
RULE = {"rule": "self.replicas <= 100 && self.ports.all(p, p.port > 0)"}
SPEC = {"image": "shop/cart:v1", "ports": [{"port": 80, "name": "http"}, {"port": 81}], "labels": {"app": "cart"}}


def rows() -> Iterator[tuple[str, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        yield from asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> list[tuple[str, ...]]:
    storage = SqliteStorage(folder / "state.db")
    await storage.start()
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    app = App(Scheme.load(), storage, RealClock(), random.Random(1), Options(service_account_key=key))
    here = _Here(app)
    running = asyncio.create_task(app.run())
    await here.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    found = [*await here.definitions(), *await here.objects("ConfigMap", "/api/v1/namespaces/shop/configmaps")]
    for kind, group in (("Plain", "plain"), ("Ruled", "ruled"), ("Twice", "twice")):
        found += await here.objects(kind, f"/apis/{group}.example.com/v1/namespaces/shop/{kind.lower()}s", group)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    app = App(Scheme.load(), storage, RealClock(), random.Random(1), Options(service_account_key=key))
    started = time.perf_counter()
    app.extensions.load()
    found.append((f"load {DEFINITIONS + 3} definitions at a start", f"{(time.perf_counter() - started) * 1e3:.0f} ms"))
    await storage.close()
    return found


class _Here:
    def __init__(self, app: App) -> None:
        self._app = app

    async def ask(self, method: str, target: str, body: Any = None, content_type: str = "application/json") -> Any:
        path, _, query = target.partition("?")
        headers = {"content-type": content_type, "user-agent": "bench/1"}
        data = b"" if body is None else json.dumps(body).encode()
        request = Request(method, path, parse_query(query), headers, data, query, user=User("bench", (MASTERS,)))
        answer = await self._app.handle(request)
        assert isinstance(answer, Response)
        assert answer.status < 300, answer.obj
        return answer

    async def define(self, group: str, kind: str, rules: bool = False, versions: int = 1) -> float:
        """Milliseconds until it is served."""
        spec = {"type": "object", "properties": FIELDS} | ({"x-kubernetes-validations": [RULE]} if rules else {})
        schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
        names = {"plural": f"{kind.lower()}s", "kind": kind}
        listed = [
            {"name": f"v{n}", "served": True, "storage": n == versions, "schema": schema}
            for n in range(1, versions + 1)
        ]
        body = {"group": f"{group}.example.com", "scope": "Namespaced", "names": names, "versions": listed}
        started = time.perf_counter()
        await self.ask("POST", PATH, {"metadata": {"name": f"{names['plural']}.{body['group']}"}, "spec": body})
        while self._app.core.serving.by_kind(f"{group}.example.com/v1", kind) is None:
            await asyncio.sleep(0)
        return (time.perf_counter() - started) * 1e3

    async def definitions(self) -> list[tuple[str, ...]]:
        plain, ruled = await self.define("plain", "Plain"), await self.define("ruled", "Ruled", rules=True)
        await self.define("twice", "Twice", versions=2)
        started = time.perf_counter()
        for number in range(DEFINITIONS):
            await self.define("many", f"Kind{number}")
        each = (time.perf_counter() - started) / DEFINITIONS * 1e3
        started = time.perf_counter()
        await self.ask("GET", "/apis")
        return [
            ("create a definition → served", f"{plain:.1f} ms"),
            ("the same with CEL rules, CEL loaded for it", f"{ruled:.1f} ms"),
            (f"{DEFINITIONS} definitions of one group, each", f"{each:.1f} ms"),
            (f"/apis made anew with {DEFINITIONS + 3}", f"{(time.perf_counter() - started) * 1e3:.1f} ms"),
        ]

    async def objects(self, kind: str, path: str, group: str = "") -> list[tuple[str, ...]]:
        name = (
            f"{kind} ({'as stored' if kind in ('Plain', 'ConfigMap') else 'CEL' if kind == 'Ruled' else 'converted'})"
        )
        body = (
            {"spec": SPEC, "apiVersion": f"{group}.example.com/v1", "kind": kind}
            if group
            else {"data": {"a": "x" * 200}}
        )
        numbers = iter(range(OBJECTS))

        async def write() -> None:
            for number in numbers:
                await self.ask("POST", path, body | {"metadata": {"name": f"o{number:04}"}})

        created = await _rate(OBJECTS, *(write() for _ in range(WRITERS)))
        change = {"metadata": {"labels": {"a": "b"}}}
        numbers = iter(range(OBJECTS))

        async def patch() -> None:
            for number in numbers:
                await self.ask("PATCH", f"{path}/o{number:04}", change, "application/merge-patch+json")

        patched = await _rate(OBJECTS, *(patch() for _ in range(WRITERS)))

        async def read() -> None:
            for number in range(OBJECTS):
                await self.ask("GET", f"{path}/o{number:04}")

        got = await _rate(OBJECTS, read())
        started = time.perf_counter()
        await self.ask("GET", path)
        first = (time.perf_counter() - started) * 1e3
        started = time.perf_counter()
        for _ in range(10):
            await self.ask("GET", path)
        again = (time.perf_counter() - started) * 100
        lists = f"{first:.1f} ms, {again:.1f} ms"
        return [(f"{name}: create, merge patch, get, list {OBJECTS:,}", created, patched, got, lists)]


async def _rate(count: int, *work: Any) -> str:
    started = time.perf_counter()
    await asyncio.gather(*work)
    return f"{count / (time.perf_counter() - started):.0f}/s"
