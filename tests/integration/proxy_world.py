"""An API server on a loopback socket, and servers of the cluster it can reach: what proxying and aggregation are tested with.

`async with world() as w: w.serve("10.1.0.7", 8080, handler)`: whoever connects to that address meets the handler, a
coroutine `(method, target, headers, body) -> bytes of the whole answer`, or takes the connection over.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from wherry.aio.clock import Clock, RealClock
from wherry.api.scheme import Scheme
from wherry.apiserver.app import App, Options
from wherry.apiserver.auth.user import User
from wherry.apiserver.dialing import MachineNetwork
from wherry.apiserver.edge import Edge
from wherry.apiserver.outward import OutwardError
from wherry.apiserver.registry.allocation import service_allocators
from wherry.storage.memory import MemoryStorage

TOKENS = {"admin": User("admin", ("system:masters",)), "jane": User("jane", ("devs",))}


@dataclass
class Asked:
    """A request as a server of the cluster saw it. Header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


Server = Callable[[Asked], Awaitable[bytes]]


class Addresses:
    """A dialer: addresses of the cluster lead to servers on loopback, all others nowhere."""

    def __init__(self) -> None:
        self.ports: dict[tuple[str, int], int] = {}

    async def connect(self, host: str, port: int) -> socket.socket:
        found = self.ports.get((host, port))
        if found is None:
            raise OutwardError(f"dial tcp {host}:{port}: connect: connection refused")
        return await MachineNetwork().connect("127.0.0.1", found)


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["message"])


class World:
    def __init__(self, app: App, edge: Edge, port: int, addresses: Addresses, stack: contextlib.AsyncExitStack) -> None:
        self.app = app
        self.edge = edge
        self.port = port
        self._addresses = addresses
        self._stack = stack

    async def serve(self, host: str, port: int, server: Server, ssl: Any = None) -> None:
        talking: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talking[asyncio.current_task()] = writer
            try:
                while (asked := await read_request(reader, writer)) is not None:
                    writer.write(await server(asked))
                    await writer.drain()
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
                del talking[asyncio.current_task()]

        listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=ssl)
        self._stack.push_async_callback(_close, listening, talking)
        self._addresses.ports[host, port] = listening.sockets[0].getsockname()[1]

    async def ask(
        self, method: str, target: str, body: Any = None, token: str = "admin", headers: dict[str, str] | None = None
    ) -> Reply:
        """One request on a connection of its own."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = {"Host": "api:6443", "Authorization": f"Bearer {token}", "Connection": "close"}
        if data:
            sent |= {"Content-Length": str(len(data)), "Content-Type": "application/json"}
        sent |= headers or {}
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + data)
            return await asyncio.wait_for(read_reply(reader, method), 30)
        finally:
            writer.close()

    async def create(self, path: str, obj: Any) -> Any:
        reply = await self.ask("POST", path, obj)
        assert reply.status == 201, reply.body
        return reply.json


@contextlib.asynccontextmanager
async def world(edge_clock: Clock | None = None, **options: Any) -> AsyncGenerator[World, None]:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    storage, addresses = MemoryStorage(), Addresses()
    await storage.start()
    allocators = service_allocators([], random.Random(3))
    chosen = Options(pem, tokens=TOKENS, dialer=addresses, allocators=allocators, **options)
    app = App(Scheme.load(), storage, RealClock(), random.Random(3), chosen)
    edge = Edge(app, edge_clock or RealClock())
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    await edge.listen(listener, None)
    async with contextlib.AsyncExitStack() as stack:
        made = World(app, edge, port, addresses, stack)
        await made.create("/api/v1/namespaces", {"metadata": {"name": "shop"}})
        try:
            yield made
        finally:
            await edge.stop()
            app.core.connections.close()


async def _close(server: asyncio.Server, talking: dict[asyncio.Task[None] | None, asyncio.StreamWriter]) -> None:
    """With its connections, before the loop ends: a client that has closed its end may not have been heard yet."""
    server.close()
    tasks = [task for task in talking if task is not None]
    for task, writer in zip(tasks, talking.values(), strict=True):
        writer.transport.abort()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head[:-4].split("\r\n")
    method, target, _ = first.split(" ")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        key = name.lower()
        headers[key] = f"{headers[key]}\n{value}" if key in headers else value
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, target, headers, body, reader, writer)


async def read_reply(reader: asyncio.StreamReader, method: str) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers[name] = f"{headers[name]}\n{value}" if name in headers else value
    body = b""
    if method != "HEAD":
        if headers.get("Transfer-Encoding") == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
        elif "Content-Length" in headers:
            body = await reader.readexactly(int(headers["Content-Length"]))
    return Reply(int(first.split(" ")[1]), headers, body)


def plain(text: str, *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer."""
    more = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(text.encode())}\r\n{more}\r\n{text}".encode()
