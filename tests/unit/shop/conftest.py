"""The shop's services in this process: each loaded afresh with its own environment and database, as if it were alone.

What passes between them passes through their real HTTP applications; `Faulty` loses requests or answers on the way.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

SHOP = Path(__file__).parents[3] / "examples" / "shop"
PACKAGES = ("shopkit", "cart", "orders", "payments", "products", "storefront", "tracking", "user", "verify", "client")
KEYS = {"JWT_KEY": "test", "ADMIN_KEY": "admin", "CARRIER_KEY": "carrier", "CARRIER_SECONDS": "0"}

Load = Callable[[str], Any]


@pytest.fixture(scope="session")
def _modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    """Loads every service once; importing FastAPI applications takes longer than testing them."""
    loaded: dict[str, ModuleType] = {}
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SHOP))
        for key, value in KEYS.items():
            patch.setenv(key, value)

        def module(name: str) -> ModuleType:
            if name not in loaded:
                _forget()  # services share shopkit's code, but nothing that it keeps
                service = name.partition(".")[0]
                patch.setenv("SERVICE", service)
                patch.setenv("DB_PATH", str(tmp_path_factory.mktemp("shop") / f"{service}.db"))
                loaded[name] = importlib.import_module(name)
                root.handlers, root.level = handlers[:], level
            return loaded[name]

        yield module
        for each in loaded.values():
            if hasattr(each, "database"):
                each.database.close()
        _forget()


@pytest.fixture
def load(_modules: Load) -> Load:
    """`load("orders.app")` gives the service with an empty database."""

    def empty(name: str) -> Any:
        module = _modules(name)
        if hasattr(module, "database"):
            database = getattr(module.database, "_connection", module.database)
            tables = database.execute("SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'")
            for (table,) in tables.fetchall():
                database.execute(f"DELETE FROM {table}")
        return module

    return empty


def _forget() -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] in PACKAGES:
            del sys.modules[name]


def asgi(module: ModuleType) -> httpx.AsyncClient:
    """A client of a FastAPI service, without its background tasks."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=module.app), base_url="http://service")


class Faulty(httpx.AsyncBaseTransport):
    """Passes requests on, but for the next ones that `faults` names: refused, slow, lost (done, not answered), broken."""

    def __init__(self, module: ModuleType) -> None:
        self.faults: deque[str] = deque()
        self.calls = 0
        self._wsgi = httpx.WSGITransport(app=module.app) if module.__name__ == "payments.app" else None
        self._asgi = None if self._wsgi else httpx.ASGITransport(app=module.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        fault = self.faults.popleft() if self.faults else ""
        if fault == "refused":
            raise httpx.ConnectError("refused", request=request)
        if fault == "slow":
            raise httpx.ReadTimeout("slow", request=request)
        if fault == "broken":
            return httpx.Response(500, text="broken", request=request)
        answer = await self._answer(request)
        if fault == "lost":
            raise httpx.ReadError("lost", request=request)
        return answer

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if self._asgi:
            return await self._asgi.handle_async_request(request)
        assert self._wsgi is not None
        body = await request.aread()
        plain = httpx.Request(request.method, request.url, headers=request.headers, content=body)
        answer = self._wsgi.handle_request(plain)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.read())
