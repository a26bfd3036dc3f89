"""A control plane as `wherry up` runs it, without a node: its own process, its own state directory, TLS, SQLite, controllers.

with ControlPlane(folder) as plane: plane.ask("GET", "/version").body; plane.raw(b"...").
Its administrator is the one the kubeconfig of a system names (a client certificate); others bring tokens.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from wherry.cluster.options import Options
from wherry.cluster.paths import State

START_SECONDS = ANSWER_SECONDS = STOP_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """What came back; `body` is decoded where it is JSON."""

    status: int
    body: Any
    headers: dict[str, str]
    warnings: tuple[str, ...] = ()

    @property
    def problem(self) -> tuple[int, str, str]:
        """(code, reason, message) of a Status."""
        assert self.body["kind"] == "Status", self.body
        assert self.body["code"] == self.status
        return self.status, self.body["reason"], self.body["message"]


class ControlPlane:
    def __init__(self, folder: Path, version: str = "1.36", **options: Any) -> None:
        self.options = options
        self.version = version
        self.folder = folder
        self.state = State(folder / "state")
        self.kubeconfig = folder / "kubeconfig"
        self.url = ""
        self._listener: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._contexts: dict[bool, ssl.SSLContext] = {}
        self._connections: dict[bool, http.client.HTTPSConnection] = {}

    # -- life

    def start(self) -> None:
        """Return once it answers. A second start may name another `version`."""
        self.state.prepare()
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        Options(kubernetes_version=self.version, port=port, **self.options).save(self.state.config)
        self.state.ready.unlink(missing_ok=True)
        descriptor = self._listener.fileno()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "wherry.cluster", "control-plane", "--state", str(self.state.root)],
                pass_fds=[descriptor],
                env=os.environ | {"LISTEN_FD": str(descriptor)},
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + START_SECONDS
        while not self.state.ready.exists():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.01)
        self.url = f"https://127.0.0.1:{port}"
        self._write_kubeconfig()
        self._contexts = {True: self.context("admin"), False: self.context()}

    def stop(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            assert self._process.wait(STOP_SECONDS) == 0, self.log.read_text()
            self._process = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def __enter__(self) -> ControlPlane:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def log(self) -> Path:
        return self.folder / "control-plane.log"

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def _write_kubeconfig(self) -> None:
        pki = self.state.pki
        user = {"client-certificate": str(pki / "admin.crt"), "client-key": str(pki / "admin.key")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "wherry", "cluster": {"server": self.url, "certificate-authority": str(pki / "ca.crt")}}
            ],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "wherry", "context": {"cluster": "wherry", "user": "admin"}}],
            "current-context": "wherry",
        }
        self.kubeconfig.write_text(json.dumps(config))

    # -- asking

    def context(self, certificate: str | None = None) -> ssl.SSLContext:
        """Trusts the system's authority; shows `pki/<certificate>.crt`, or a path without its ending, or nothing."""
        context = ssl.create_default_context(cafile=str(self.state.pki / "ca.crt"))
        if certificate is not None:
            path = self.state.pki / certificate
            context.load_cert_chain(f"{path}.crt", f"{path}.key")
        return context

    def ask(
        self,
        method: str,
        target: str,
        body: Any = None,
        content_type: str = "application/json",
        *,
        token: str | None = None,
        context: ssl.SSLContext | None = None,
        **headers: str,
    ) -> Answer:
        """One request: as the administrator, or with `token` ("" for none) and no certificate, both over connections that
        are kept; with `context` over one of its own."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"Content-Type": content_type} if data is not None and content_type else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if context is not None:
            connection = self._connect(context)
            try:
                return self._ask(connection, method, target, data, sent)
            finally:
                connection.close()
        admin = token is None
        if admin in self._connections and _is_closed(self._connections[admin]):
            self._connections.pop(admin).close()
        if admin not in self._connections:
            self._connections[admin] = self._connect(self._contexts[admin])
        try:
            return self._ask(self._connections[admin], method, target, data, sent)
        except (OSError, http.client.HTTPException):
            self._connections.pop(admin).close()
            raise

    def _connect(self, context: ssl.SSLContext) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS, context=context)

    def _ask(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        target: str,
        data: bytes | None,
        sent: dict[str, str],
    ) -> Answer:
        connection.request(method, target, data, sent)
        response = connection.getresponse()
        text = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        is_json = headers.get("content-type", "").startswith("application/json")
        warnings = tuple(value for name, value in response.getheaders() if name.lower() == "warning")
        return Answer(response.status, json.loads(text) if is_json and text else text, headers, warnings)

    def connect(self) -> ssl.SSLSocket:
        """A connection of the administrator's, for bytes that are no request."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_SECONDS)
        return self._contexts[True].wrap_socket(plain, server_hostname="127.0.0.1")

    def raw(self, data: bytes) -> bytes:
        """Everything the server says to these bytes until it closes the connection."""
        with self.connect() as connection:
            try:
                connection.sendall(data)
            except (BrokenPipeError, ssl.SSLEOFError, ConnectionResetError):
                pass  # it has heard enough: its answer may be there all the same
            said = bytearray()
            while data := connection.recv(1 << 16):
                said += data
            return bytes(said)

    # -- looking

    def written_since(self, revision: int) -> list[str]:
        """The keys of everything stored after a revision, read from the file as a second program would."""
        with sqlite3.connect(f"file:{self.state.database}?mode=ro", uri=True) as database:
            rows = database.execute("SELECT key FROM log WHERE revision > ? ORDER BY revision", (revision,)).fetchall()
        database.close()
        return [key for (key,) in rows]

    def revision(self) -> int:
        with sqlite3.connect(f"file:{self.state.database}?mode=ro", uri=True) as database:
            (newest,) = database.execute("SELECT max(revision) FROM log").fetchone()
        database.close()
        return int(newest)

    def tracebacks(self) -> str:
        """What the log has of our own bugs."""
        text = self.log.read_text()
        return text[text.index("Traceback") - 400 :] if "Traceback" in text else ""


def _is_closed(connection: http.client.HTTPSConnection) -> bool:
    """Whether the server has said goodbye, as it does to a connection on which nobody asked anything for minutes."""
    return connection.sock is not None and bool(select.select([connection.sock], [], [], 0)[0])
