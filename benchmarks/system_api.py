"""The API of a system that is being measured, as one client sees it: calls, a count of what is there, and how long a GET
takes while something else goes on."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import Any

from benchmarks.machine import Machine

POLL_SECONDS = 0.25
PATIENCE_SECONDS = 600.0
PROBES_PER_SECOND = 50
PROBED = "/api/v1/namespaces/kube-system"


class Api:
    """Asks as the administrator."""

    def __init__(self, machine: Machine) -> None:
        status = machine.status()
        pki = Path(status["stateDir"]) / "pki"
        self._server = status["apiServer"]
        self._context: SSLContext = create_default_context(cafile=str(pki / "ca.crt"))
        self._context.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def call(self, path: str, method: str = "GET", body: Any = None, media: str = "application/json") -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + path, data, {"Content-Type": media}, method=method)
        with urllib.request.urlopen(request, context=self._context, timeout=60) as answer:
            return json.load(answer)

    def patch(self, path: str, body: Any) -> Any:
        return self.call(path, "PATCH", body, "application/merge-patch+json")

    def count(self, path: str) -> int:
        """How many objects a list has, without reading them."""
        found = self.call(f"{path}{'&' if '?' in path else '?'}limit=1")
        return len(found["items"]) + int(found["metadata"].get("remainingItemCount", 0))

    def connect(self) -> http.client.HTTPSConnection:
        """A connection of its own."""
        place = urllib.parse.urlsplit(self._server)
        return http.client.HTTPSConnection(place.hostname or "", place.port, context=self._context, timeout=60)

    def watch(self, path: str) -> Iterator[Any]:
        """Events of what is there and what comes, until closed."""
        connection = self.connect()
        try:
            connection.request("GET", f"{path}{'&' if '?' in path else '?'}watch=true")
            for line in connection.getresponse():
                yield json.loads(line)
        finally:
            connection.close()


def until(done: Callable[[], bool]) -> None:
    """Ask again and again; RuntimeError when it takes too long."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not done():
        if time.monotonic() > end:
            raise RuntimeError(f"not done after {PATIENCE_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)


class Probe:
    """How long a GET of one small object takes, asked all the time by a thread of its own while the `with` lasts."""

    def __init__(self, api: Api) -> None:
        self._connection = api.connect()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._taken: list[float] = []

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._connection.close()

    def _ask(self) -> None:
        while not self._stop.wait(1 / PROBES_PER_SECOND):
            begin = time.perf_counter()
            self._connection.request("GET", PROBED)
            self._connection.getresponse().read()
            self._taken.append((time.perf_counter() - begin) * 1000)

    def result(self) -> str:
        """Milliseconds: median, 99th percentile, longest."""
        taken = sorted(self._taken) or [0.0]
        return f"{taken[len(taken) // 2]:.0f}, {taken[len(taken) * 99 // 100]:.0f}, {taken[-1]:.0f}"
