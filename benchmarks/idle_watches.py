"""Thousands of watches on which nothing happens: what one costs the control plane in memory, what all cost it in CPU time, and
how long an event takes to reach every one of them. Over TLS, each on a connection of its own, with bookmarks.
"""

from __future__ import annotations

import http.client
import json
import resource
import selectors
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.machine import Machine, cpu_seconds, pss_megabytes

WATCHES = 10_000
SETTLE_SECONDS = 5.0
IDLE_SECONDS = 130.0
"""Two bookmarks of each watch."""
EVENTS = 5
GIVE_UP_SECONDS = 60.0
MAPS = "/api/v1/namespaces/default/configmaps"


def rows(machine: Machine) -> Iterator[tuple[str, ...]]:
    pki = Path(machine.status()["stateDir"]) / "pki"
    (pid,) = machine.pids()["control-plane"]
    yield from measure(machine.status()["apiServer"], pki, pid, WATCHES, IDLE_SECONDS)


def measure(url: str, pki: Path, pid: int, count: int, idle_seconds: float) -> Iterator[tuple[str, ...]]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before, cpu = pss_megabytes(pid), cpu_seconds(pid)
    started = time.perf_counter()
    watches = Watches(url, pki, count)
    took = time.perf_counter() - started
    name = f"{count:,} idle watches"
    yield f"{name}: opened", f"{took:.1f} s", f"{(cpu_seconds(pid) - cpu) / count * 1e3:.2f} ms CPU each"
    watches.read(SETTLE_SECONDS, 0)
    yield f"{name}: memory of the control plane", f"{(pss_megabytes(pid) - before) * 1024 / count:.1f} KB each"
    cpu = cpu_seconds(pid)
    watches.read(idle_seconds, 0)
    share = (cpu_seconds(pid) - cpu) / idle_seconds * 100
    if idle_seconds:
        yield f"{name}: CPU", f"{share:.1f} % of a core", f"{watches.lines / count:.1f} bookmarks each"
    for number in range(EVENTS):
        first, last = watches.fan_out(f"{number}-{int(time.time())}")
        yield f"{name}: event {number}", f"first {first * 1e3:.0f} ms", f"last {last * 1e3:.0f} ms"
    yield f"{name}: memory after that", f"{(pss_megabytes(pid) - before) * 1024 / count:.1f} KB each"
    watches.close()
    time.sleep(2)
    yield f"{name}: memory when they are gone", f"{pss_megabytes(pid) - before:.0f} MB more than before"


class Watches:
    """`count` watches of the ConfigMaps of one namespace, opened one after the other."""

    def __init__(self, url: str, pki: Path, count: int) -> None:
        self._address = (urlsplit(url).hostname or "", urlsplit(url).port or 443)
        self._context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._selector = selectors.DefaultSelector()
        self.lines = 0
        for _ in range(count):
            self._open()

    def _open(self) -> None:
        plain = socket.create_connection(self._address)
        stream = self._context.wrap_socket(plain, server_hostname=self._address[0])
        query = "watch=1&allowWatchBookmarks=true&resourceVersion=0&labelSelector=bench%3Didle"
        stream.sendall(f"GET {MAPS}?{query} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += stream.recv(4096)
        if b" 200 " not in head:
            raise RuntimeError(head.decode())
        stream.setblocking(False)
        self._selector.register(stream, selectors.EVENT_READ)

    def read(self, seconds: float, enough: int) -> list[float]:
        """When each of the next events came; for so long, or until there are `enough` (0: read on)."""
        end, times = time.perf_counter() + seconds, list[float]()
        while (left := end - time.perf_counter()) > 0 and not (enough and len(times) >= enough):
            for key, _ in self._selector.select(left):
                found = self._lines(key.fileobj)  # type: ignore[arg-type]
                times += [time.perf_counter()] * found
        self.lines += len(times)
        return times

    def _lines(self, stream: ssl.SSLSocket) -> int:
        found = 0
        while True:
            try:
                data = stream.recv(65536)
            except (ssl.SSLWantReadError, BlockingIOError):
                return found
            if not data:
                raise RuntimeError("the server ended a watch")
            found += data.count(b"}\n")

    def fan_out(self, name: str) -> tuple[float, float]:
        """Create an object they all watch; seconds until the first and until the last of them heard of it."""
        connection = http.client.HTTPSConnection(*self._address, context=self._context)
        body = {"metadata": {"generateName": "idle-", "labels": {"bench": "idle", "n": name}}}
        connection.request("POST", MAPS, json.dumps(body), {"Content-Type": "application/json"})
        sent = time.perf_counter()
        count = len(self._selector.get_map())
        times = self.read(GIVE_UP_SECONDS, count)
        if len(times) < count:
            raise RuntimeError(f"{count - len(times)} watches heard nothing")
        connection.getresponse().read()
        connection.close()
        return times[0] - sent, times[-1] - sent

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
