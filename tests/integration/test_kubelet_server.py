"""The kubelet's server over its unix socket: what an API server, and through it kubectl, would say and hear.

The runtime is the fake one; sockets, HTTP, WebSocket and SPDY are real.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from wherry.aio.clock import RealClock
from wherry.api.resources import PODS
from wherry.api.types import Obj
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client
from wherry.cri.fake import PROGRAMS, FakeRuntime, Process
from wherry.images.rootfs import Image, RootFS
from wherry.kubelet.config import NodeConfig
from wherry.kubelet.kubelet import Kubelet
from wherry.kubelet.streaming import spdy
from wherry.launcher.protocol import unix_address
from wherry.testing.fake_api import FakeApi

SECONDS_MAX = 60.0


class Images:
    async def image_status(self, reference: str) -> Image | None:
        return Image("sha256:1", (reference,), RootFS(), 1)

    async def pull_image(self, reference: str, auths: Any) -> Image:
        raise AssertionError("everything is present")

    async def list_images(self) -> list[Image]:
        return []

    async def remove_image(self, reference: str) -> None: ...


class Recorder:
    def event(self, *_: Any, **__: Any) -> None: ...


class Addresses:
    def allocate(self, owner: str) -> str:
        return "10.244.0.5"

    def claim(self, owner: str, ip: str) -> bool:
        return True

    def release(self, owner: str) -> None: ...


async def _serve(process: Process) -> int:
    process.write("stdout", b"listening\n")
    await process.signals.get()
    return 0


async def _fail(process: Process) -> int:
    process.write("stderr", b"oh no\n")
    return 3


class Runtime(FakeRuntime):
    """Port 80 of every pod echoes."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._echoes: list[asyncio.Task[None]] = []

    async def close(self) -> None:
        for task in self._echoes:
            task.cancel()
        await asyncio.gather(*self._echoes, return_exceptions=True)
        await super().close()

    async def dial(self, sandbox_id: str, port: int, host: str = "127.0.0.1") -> socket.socket:
        if port != 80:
            raise ConnectionRefusedError(111, "Connection refused")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._echoes.append(asyncio.create_task(_echo(theirs)))
        return ours


async def _echo(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with connection:
        while data := await loop.sock_recv(connection, 65536):
            await loop.sock_sendall(connection, data)


@dataclass
class Node:
    path: Path
    session: aiohttp.ClientSession
    kubelet: Kubelet

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(f"http://kubelet{path}") as response:
            return response.status, await response.text()


@contextlib.asynccontextmanager
async def node(directory: Path) -> AsyncIterator[Node]:
    """A kubelet with one running pod `web`, container `app`."""
    clock, api = RealClock(), FakeApi()
    client = Client(api)
    informers = InformerFactory(client, clock, random.Random(1))
    runtime = Runtime(clock, random.Random(2), {**PROGRAMS, "serve": _serve, "fail": _fail})
    config = NodeConfig("node", directory / "pods", directory / "logs", directory / "run" / "kubelet.sock")
    kubelet = Kubelet(
        config,
        client=client,
        informers=informers,
        recorder=Recorder(),
        runtime=runtime,
        images=Images(),
        addresses=Addresses(),
        clock=clock,
        rng=random.Random(3),
    )
    container = {"name": "app", "image": "app:1", "command": ["serve"]}
    pod: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop", "uid": "u1"}}
    waiting = {"name": "later", "image": "app:1", "command": ["nosuch"]}
    await client.create(PODS, {**pod, "spec": {"nodeName": "node", "containers": [container, waiting]}})
    tasks = [asyncio.ensure_future(informers.run()), asyncio.ensure_future(kubelet.run())]
    connector = aiohttp.UnixConnector(unix_address(config.socket))
    try:
        async with asyncio.timeout(SECONDS_MAX), aiohttp.ClientSession(connector=connector) as session:
            await _until_running(client)
            yield Node(config.socket, session, kubelet)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await runtime.close()


async def _until_running(client: Client) -> None:
    listed = await client.list(PODS, "shop")
    version = listed["metadata"]["resourceVersion"]
    async with client.watch(PODS, "shop", resource_version=version) as events:
        async for event in events:
            statuses = (event["object"].get("status") or {}).get("containerStatuses") or ()
            if any("running" in each["state"] for each in statuses):
                return


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Callable[[Node], Coroutine[Any, Any, None]]], None]:
    def run(scenario: Callable[[Node], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with node(tmp_path) as running:
                await scenario(running)

        asyncio.run(main())

    return run


Play = Callable[[Callable[[Node], Coroutine[Any, Any, None]]], None]


def test_plain_answers(play: Play) -> None:
    async def scenario(node: Node) -> None:
        assert node.path.stat().st_mode & 0o777 == 0o600
        assert await node.get("/healthz") == (200, "ok")
        _, text = await node.get("/pods")
        assert [pod["metadata"]["name"] for pod in json.loads(text)["items"]] == ["web"]
        _, text = await node.get("/stats/summary")
        summary = json.loads(text)
        assert summary["pods"][0]["podRef"] == {"name": "web", "namespace": "shop", "uid": "u1"}
        assert summary["pods"][0]["containers"][0]["cpu"]["usageNanoCores"] > 0
        assert summary["node"]["memory"]["workingSetBytes"] > 0

    play(scenario)


def test_logs_and_why_there_are_none(play: Play) -> None:
    async def scenario(node: Node) -> None:
        assert await node.get("/containerLogs/shop/web/app") == (200, "listening\n")
        assert (await node.get("/containerLogs/shop/none/app"))[0] == 404
        assert (await node.get("/containerLogs/shop/web/none"))[0] == 404
        text = 'previous terminated container "app" in pod "web" not found'
        assert await node.get("/containerLogs/shop/web/app?previous=true") == (400, text)
        assert (await node.get("/containerLogs/shop/web/app?tailLines=x"))[0] == 400

    play(scenario)


async def _say(websocket: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    """Everything a command says, by channel."""
    heard: dict[int, bytes] = {}
    async for message in websocket:
        heard[message.data[0]] = heard.get(message.data[0], b"") + message.data[1:]
    return {channel: data for channel, data in heard.items() if data}


def test_exec_over_a_websocket_tells_output_and_exit_code(play: Play) -> None:
    async def scenario(node: Node) -> None:
        url = "http://kubelet/exec/shop/web/app?command=fail&output=1&error=1"
        async with node.session.ws_connect(url, protocols=("v5.channel.k8s.io", "v4.channel.k8s.io")) as websocket:
            assert websocket.protocol == "v5.channel.k8s.io"
            heard = await _say(websocket)
        assert heard[2] == b"oh no\n"
        assert json.loads(heard[3])["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]

    play(scenario)


def test_closing_stdin_ends_cat(play: Play) -> None:
    async def scenario(node: Node) -> None:
        url = "http://kubelet/exec/shop/web/app?command=cat&input=1&output=1"
        async with node.session.ws_connect(url, protocols=("v5.channel.k8s.io",)) as websocket:
            for _ in range(4):  # less than a pipe holds: what is pretended does not wait for who reads it
                await websocket.send_bytes(b"\x00" + b"x" * 15_000)
            await websocket.send_bytes(b"\xff\x00")
            heard = await _say(websocket)
        assert heard[1] == b"x" * 60_000
        assert json.loads(heard[3])["status"] == "Success"

    play(scenario)


def test_a_command_that_does_not_exist_is_an_internal_error(play: Play) -> None:
    async def scenario(node: Node) -> None:
        url = "http://kubelet/exec/shop/web/app?command=nosuch&output=1"
        async with node.session.ws_connect(url, protocols=("v4.channel.k8s.io",)) as websocket:
            heard = await _say(websocket)
        assert json.loads(heard[3])["reason"] == "InternalError"
        assert "executable file not found" in json.loads(heard[3])["message"]
        assert await node.get("/exec/shop/web/none?command=true&output=1") == (404, 'container not found ("none")')

    play(scenario)


class SpdyClient:
    """A raw SPDY client after an HTTP upgrade."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.session = spdy.Session(client=True)
        self._reader, self._writer = reader, writer
        self.events: list[spdy.Event] = []

    @classmethod
    async def connect(cls, path: Path, target: str, protocol: str) -> SpdyClient:
        reader, writer = await asyncio.open_unix_connection(unix_address(path))
        head = f"POST {target} HTTP/1.1\r\nHost: kubelet\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        writer.write(f"{head}X-Stream-Protocol-Version: {protocol}\r\n\r\n".encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert answer.startswith("HTTP/1.1 101 "), answer
        assert f"X-Stream-Protocol-Version: {protocol}" in answer
        return cls(reader, writer)

    async def flush(self) -> None:
        self._writer.write(self.session.data_to_send())
        await self._writer.drain()

    async def read_until(self, true: Callable[[list[spdy.Event]], bool]) -> None:
        while not true(self.events):
            data = await self._reader.read(65536)
            assert data, "the connection ended early"
            self.events += self.session.receive(data)

    def data(self, stream: int) -> bytes:
        return b"".join(e.data for e in self.events if isinstance(e, spdy.DataReceived) and e.stream == stream)

    def is_over(self, stream: int) -> bool:
        return any(isinstance(e, spdy.DataReceived) and e.stream == stream and e.fin for e in self.events)

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def test_exec_over_plain_spdy(play: Play) -> None:
    async def scenario(node: Node) -> None:
        target = "/exec/shop/web/app?command=cat&input=1&output=1&error=1"
        client = await SpdyClient.connect(node.path, target, "v4.channel.k8s.io")
        streams = {
            kind: client.session.open_stream({"streamtype": kind}) for kind in ("error", "stdin", "stdout", "stderr")
        }
        client.session.send(streams["stdin"], b"hello", fin=True)
        await client.flush()
        await client.read_until(lambda _: client.is_over(streams["error"]))
        assert client.data(streams["stdout"]) == b"hello"
        assert json.loads(client.data(streams["error"]))["status"] == "Success"
        await client.close()

    play(scenario)


def test_port_forward_over_plain_spdy(play: Play) -> None:
    async def scenario(node: Node) -> None:
        client = await SpdyClient.connect(node.path, "/portForward/shop/web", "portforward.k8s.io")
        pairs = {}
        for request, port in (("0", "80"), ("1", "80"), ("2", "81")):
            headers = {"port": port, "requestid": request}
            error = client.session.open_stream({**headers, "streamtype": "error"})
            client.session.send(error, b"", fin=True)
            pairs[request] = (error, client.session.open_stream({**headers, "streamtype": "data"}))
        client.session.send(pairs["0"][1], b"a" * 100_000, fin=True)
        client.session.send(pairs["1"][1], b"b", fin=True)
        await client.flush()
        await client.read_until(lambda _: all(client.is_over(stream) for pair in pairs.values() for stream in pair))
        assert client.data(pairs["0"][1]) == b"a" * 100_000
        assert client.data(pairs["1"][1]) == b"b"
        assert b"failed to connect to localhost:81 inside the pod" in client.data(pairs["2"][0])
        await client.close()

    play(scenario)


def test_port_forward_tunnelled_in_a_websocket(play: Play) -> None:
    async def scenario(node: Node) -> None:
        session = spdy.Session(client=True)
        url = "http://kubelet/portForward/shop/web"
        async with node.session.ws_connect(url, protocols=("SPDY/3.1+portforward.k8s.io",)) as websocket:
            assert websocket.protocol == "SPDY/3.1+portforward.k8s.io"
            session.open_stream({"streamtype": "error", "port": "80", "requestid": "0"}, fin=True)
            data = session.open_stream({"streamtype": "data", "port": "80", "requestid": "0"})
            session.send(data, b"ping", fin=True)
            await websocket.send_bytes(session.data_to_send())
            heard, over = b"", False
            while not over:
                for event in session.receive((await websocket.receive()).data):
                    if isinstance(event, spdy.DataReceived) and event.stream == data:
                        heard, over = heard + event.data, event.fin
            assert heard == b"ping"

    play(scenario)


def test_port_forward_as_the_python_client_does(play: Play) -> None:
    async def scenario(node: Node) -> None:
        url = "http://kubelet/portForward/shop/web?port=80&port=81"
        async with node.session.ws_connect(url, protocols=("v4.channel.k8s.io",)) as websocket:
            opening = [(await websocket.receive()).data for _ in range(4)]
            assert opening == [b"\x00\x50\x00", b"\x01\x50\x00", b"\x02\x51\x00", b"\x03\x51\x00"]
            await websocket.send_bytes(b"\x02x")
            answer = (await websocket.receive()).data
            assert answer[:1] == b"\x03"
            assert b"inside the pod" in answer
            await websocket.send_bytes(b"\x00ping")
            assert (await websocket.receive()).data == b"\x00ping"

    play(scenario)
