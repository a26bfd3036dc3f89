"""Clients that never stop asking while a test kills something, and remember what they were told."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
import urllib.request
from types import TracebackType
from typing import Any

from wherry_system import PATIENCE, WherrySystem, until

from wherry.cluster.paths import State
from wherry.cluster.pki import Pki


class _Background:
    """A thread that works until the `with` block ends."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._ended.is_set():
            self.step()

    def step(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> _Background:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()


class Visitor(_Background):
    """Fetches a URL, each time by a new connection. `failures`: when those requests began, and their errors; `slowest` is in
    seconds."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.total = 0
        self.slowest = 0.0
        self.failures: list[tuple[float, str]] = []

    def step(self) -> None:
        began = time.monotonic()
        try:
            with urllib.request.urlopen(self.url, timeout=30) as answer:
                answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.failures.append((began, repr(error)))
        self.total += 1
        self.slowest = max(self.slowest, time.monotonic() - began)
        self._ended.wait(0.01)

    def visits(self, count: int) -> None:
        """Wait for so many more."""
        goal = self.total + count
        until(lambda: self.total >= goal, f"{count} more visits")


class Writer(_Background):
    """Creates ConfigMaps one after another as administrator. `acknowledged` are the names the API said it made."""

    def __init__(self, system: WherrySystem, namespace: str) -> None:
        super().__init__()
        self._system, self._namespace = system, namespace
        self._context = tls(system)
        self._number = 0
        self.acknowledged: list[str] = []
        self.failures: list[str] = []

    def step(self) -> None:
        self._number += 1
        name = f"written-{self._number}"
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": str(self._number)}}
        try:
            status, _ = request(
                self._system, self._context, "POST", f"/api/v1/namespaces/{self._namespace}/configmaps", body
            )
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
        else:
            assert status == 201, status
            self.acknowledged.append(name)

    def writes(self, count: int) -> None:
        """Wait for so many more."""
        goal = len(self.acknowledged) + count
        until(lambda: len(self.acknowledged) >= goal, f"{count} more writes")


class Sender(_Background):
    """Hands names to the broker, each again and again until it says that it has kept it."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.kept: list[str] = []

    def step(self) -> None:
        asked = urllib.request.Request(f"{self.url}{len(self.kept)}", method="POST")
        try:
            with urllib.request.urlopen(asked, timeout=5) as answer:
                answer.read()
        except (OSError, http.client.HTTPException):  # it may end in the middle of its answer
            self._ended.wait(0.02)
        else:
            self.kept.append(str(len(self.kept)))

    def sends(self, count: int) -> None:
        goal = len(self.kept) + count
        until(lambda: len(self.kept) >= goal, f"{count} more names are kept", 60)


def page(url: str) -> str:
    """What it shows; empty while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return str(answer.read().decode())
    except (OSError, http.client.HTTPException):
        return ""


def tls(system: WherrySystem) -> ssl.SSLContext:
    pki = Pki(State(system.state).pki)
    context = ssl.create_default_context(cafile=str(pki.ca))
    context.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
    return context


def request(
    system: WherrySystem,
    context: ssl.SSLContext,
    method: str,
    path: str,
    body: object = None,
    timeout: float = PATIENCE,
) -> tuple[int, bytes]:
    """One request by a connection of its own."""
    connection = http.client.HTTPSConnection("127.0.0.1", system.port, timeout=timeout, context=context)
    try:
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Stream(_Background):
    """Numbered lines to the echo program as fast as it takes them; each must come back in its turn."""

    LINE = "{:09d} " + "x" * 90 + "\n"
    TOGETHER = 50

    def __init__(self, port: int) -> None:
        super().__init__()
        self._sock = until(lambda: _connect(port), "the echo program answers")
        self.sent = self.received = 0
        self.failure: str | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def step(self) -> None:
        numbers = range(self.sent, self.sent + self.TOGETHER)
        self._sock.sendall("".join(map(self.LINE.format, numbers)).encode())
        self.sent += self.TOGETHER

    def _read(self) -> None:
        try:
            with self._sock.makefile("r") as lines:
                for line in lines:
                    if line != self.LINE.format(self.received):
                        self.failure = self.failure or f"line {self.received} is {line!r}"
                    self.received += 1
        except OSError as error:
            self.failure = repr(error)

    def lines(self, count: int) -> None:
        """Wait until so many more are back."""
        goal = self.received + count
        until(lambda: self.received >= goal, f"{count} more lines, not {self.failure}")

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._sock.shutdown(socket.SHUT_WR)
        self._reader.join(PATIENCE)
        self._sock.close()


class Talk:
    """One connection to the echo program, kept open."""

    def __init__(self, port: int) -> None:
        self._sock = until(lambda: _connect(port), "the echo program answers")

    def say(self, word: str) -> None:
        """Send it and get it back."""
        data = word.encode() + b"\n"
        self._sock.sendall(data)
        answer = b""
        while len(answer) < len(data):
            more = self._sock.recv(4096)
            assert more, "the connection ended"
            answer += more
        assert answer == data

    def close(self) -> None:
        self._sock.close()


def _connect(port: int) -> socket.socket | None:
    """To the echo program, once it has said something: a node port takes connections before it has anybody to give them to."""
    try:
        sock = socket.create_connection(("127.0.0.1", port), 5)
    except OSError:
        return None
    try:
        sock.sendall(b"hello\n")
        if sock.recv(6) == b"hello\n":
            sock.settimeout(PATIENCE)
            return sock
    except OSError:  # it came to a pod that had just ended
        pass
    sock.close()
    return None
