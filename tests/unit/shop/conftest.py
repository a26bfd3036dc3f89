"""The shop's services in this process: each loaded afresh with its own environment and database, as if it were alone."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from shop_in_process import SHOP, Load

PACKAGES = ("shopkit", "cart", "orders", "payments", "products", "storefront", "tracking", "user", "verify", "client")
KEYS = {"JWT_KEY": "test", "ADMIN_KEY": "admin", "CARRIER_KEY": "carrier", "CARRIER_SECONDS": "0"}


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
