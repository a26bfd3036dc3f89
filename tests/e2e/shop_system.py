"""The example shop in a running system: a copy of its folder, with a node port of its own, as the system's user."""

from __future__ import annotations

import asyncio
import http.client
import importlib.util
import shutil
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from wherry_system import WherrySystem, free_port, until

SHOP = Path(__file__).parents[2] / "examples" / "shop"
SECONDS = 360.0
"""For what builds images or waits for pods on a machine that does other work too."""


def module(name: str) -> ModuleType:
    """`load` or `client` of the shop, without its folder on the path of all tests."""
    if (known := sys.modules.get(f"shop_{name}")) is not None:
        return known
    spec = importlib.util.spec_from_file_location(f"shop_{name}", SHOP / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = sys.modules[f"shop_{name}"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


class Patient:
    """The shop's API client; a GET is asked again for some seconds: the API may be starting, or fail on purpose."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def call(self, path: str, method: str = "GET", body: object = None) -> Any:
        for _ in range(20 if method == "GET" else 0):
            try:
                return self._api.call(path, method, body)
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != 429:
                    raise
                time.sleep(0.25)
        return self._api.call(path, method, body)


class ShopSystem:
    """`up` may be called again, with other profiles or after `edit`."""

    def __init__(self, system: WherrySystem) -> None:
        self.system = system
        self.folder = system.home / "shop"
        shutil.copytree(SHOP, self.folder, ignore=shutil.ignore_patterns("__pycache__"))
        self.edit("k8s/storefront.yaml", "nodePort: 30800", f"nodePort: {free_port(range(31000, 32700), '0.0.0.0')}")
        if system.tier.user is not None:
            for path in (self.folder, *self.folder.rglob("*")):
                shutil.chown(path, system.tier.user)
        self.seconds = 0.0
        self.up()
        self.url: str = self._status()["urls"]["shop/storefront"]

    def edit(self, file: str, old: str, new: str) -> None:
        text = (self.folder / file).read_text()
        assert old in text
        (self.folder / file).write_text(text.replace(old, new))

    def run(self, *command: str) -> str:
        """A program of the shop or of Wherry, as the system's user; what it printed."""
        done = subprocess.run(
            [self.system.tier.python, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=self.system.environment(),
            timeout=SECONDS,
            **self.system.tier.run_as(),
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    @contextmanager
    def chaos(self, kind: str, *options: str) -> Iterator[None]:
        """`wherry chaos KIND ...`, while the block lasts."""
        with subprocess.Popen(
            [self.system.tier.python, "-u", "-m", "wherry", "chaos", kind, *self.where, *options],
            stdout=subprocess.PIPE,
            text=True,
            env=self.system.environment(),
            **self.system.tier.run_as(),
        ) as run:
            assert run.stdout is not None
            first = run.stdout.readline()
            assert first, "it is at work"
            assert "no pod" not in first
            try:
                yield
            finally:
                run.terminate()
                print(run.communicate()[0])

    @property
    def where(self) -> tuple[str, ...]:
        return "--name", self.system.name, "--state-dir", str(self.system.state)

    def up(self, *options: str) -> str:
        return self.run("-m", "wherry", "up", str(self.folder), *self.where, *options)

    def api(self) -> Any:
        return Patient(module("client").Api(self.system.status()))

    def evicted(self) -> list[Any]:
        """Its pods that had to go for others to stay."""
        found = self.api().call("/api/v1/namespaces/shop/pods?fieldSelector=status.phase%3DFailed")["items"]
        return [one for one in found if one["status"].get("reason") == "Evicted"]

    def visitor(self) -> Any:
        return module("client").Visitor(self._status())

    def _status(self) -> dict[str, Any]:
        """Once it says where the storefront is: it asks the API, and not for long."""

        def known() -> dict[str, Any] | None:
            found = self.system.status()
            return found if "shop/storefront" in found["urls"] else None

        return until(known, "the storefront's port")

    def under_load(self, paths: list[str], work: Callable[[], None], cookie: str = "") -> Any:
        """Run `work` while visitors ask for `paths` all the time; what they got."""
        return asyncio.run(self._under_load([self.url + path for path in paths], work, cookie))

    async def _under_load(self, urls: list[str], work: Callable[[], None], cookie: str) -> Any:
        headers = {"Cookie": cookie} if cookie else {}
        async with module("load").running(urls, 8, headers) as result:
            await asyncio.to_thread(work)
        return result
