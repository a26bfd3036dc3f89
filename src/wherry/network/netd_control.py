"""How the agent tells netd what to serve: JSON lines over the Unix socket `run/netd.sock`, one answer per request.

    {"op": "replace", "services": {"shop/cart": {...}}, "namespaces": ["default", "shop"]}
    {"op": "change", "services": {"shop/cart": {...}, "shop/old": null}, "namespaces": null}
    {"op": "status"}
    {"op": "faults"}: look whether there are faults of the network
    -> {"ok": true, "failures": {"30080": "cannot listen on 0.0.0.0:30080: Address already in use"}, ...}
    -> {"ok": false, "error": "..."}
Always true: a request is applied whole or not at all, and applied before it is answered. Both ends are in this file.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from wherry.launcher.protocol import unix_address
from wherry.network.services import ServiceRecord

LINE_BYTES_MAX = 64 * 1024 * 1024
"""A `replace` with 10,000 services of 100 endpoints has 50 MB."""

ASK_SECONDS = 5.0


class Request(msgspec.Struct, frozen=True):
    op: str
    services: dict[str, ServiceRecord | None] = {}
    namespaces: tuple[str, ...] | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`failures`: node ports nobody listens on, and why. `statistics`: of `status`. `made`: names of the faults of the
    network that are made now; `refused`: why others are not."""

    ok: bool
    error: str = ""
    failures: dict[str, str] = {}
    statistics: dict[str, int] = {}
    made: tuple[str, ...] = ()
    refused: dict[str, str] = {}


class ControlServer:
    """netd's end. `handle` is called for one request after the other; what it raises (ValueError) is the answer."""

    def __init__(self, path: Path, handle: Callable[[Request], Answer]) -> None:
        self._path = path
        self._handle = handle
        self._writers: set[asyncio.StreamWriter] = set()

    async def run(self) -> None:
        """Serve until cancelled."""
        server = await asyncio.start_unix_server(self._serve, sock=_listen(self._path), limit=LINE_BYTES_MAX)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            for writer in self._writers:
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(self._answer(line)) + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass  # it hung up, or sent a line without end
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, line: bytes) -> Answer:
        try:
            return self._handle(msgspec.json.decode(line, type=Request))
        except ValueError as error:  # msgspec's errors are ValueErrors too
            return Answer(False, str(error))


class ControlClient:
    """The agent's end. Raises OSError (ConnectionError) when netd is not there (any more): connect anew and replace."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: deque[asyncio.Future[Answer]] = deque()

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_unix_connection(unix_address(self._path), limit=LINE_BYTES_MAX)

    async def run(self) -> None:
        """Take the answers, until cancelled or until netd is gone, which raises ConnectionError."""
        assert self._reader is not None, "connect first"
        try:
            while line := await self._reader.readline():
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(msgspec.json.decode(line, type=Answer))
            raise ConnectionResetError("netd hung up")
        finally:
            self.close()

    async def replace(self, services: Mapping[str, ServiceRecord], namespaces: tuple[str, ...]) -> Answer:
        return await self.ask(Request("replace", dict(services), namespaces))

    async def change(
        self, services: Mapping[str, ServiceRecord | None], namespaces: tuple[str, ...] | None = None
    ) -> Answer:
        return await self.ask(Request("change", dict(services), namespaces))

    async def ask(self, request: Request) -> Answer:
        """Send and wait for the answer, which `run` takes."""
        if self._writer is None or self._writer.is_closing():
            raise ConnectionResetError("not connected to netd")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._writer.write(msgspec.json.encode(request) + b"\n")
        return await future

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(ConnectionResetError("netd hung up"))


def ask_netd(path: Path, op: str) -> Answer:
    """One question without an event loop, for commands. Raises OSError; a netd that hangs up has no answer either."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(ASK_SECONDS)
        sock.connect(unix_address(path))
        sock.sendall(msgspec.json.encode(Request(op)) + b"\n")
        with sock.makefile("rb") as stream:
            line = stream.readline()
    if not line:
        raise ConnectionResetError("netd hung up")
    return msgspec.json.decode(line, type=Answer)


def _listen(path: Path) -> socket.socket:
    """Only our own user may connect; a socket left behind is replaced."""
    address = unix_address(path)
    try:
        os.unlink(address)
    except FileNotFoundError:
        pass
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(address)
        sock.listen(16)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock
