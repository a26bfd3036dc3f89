"""The socket side: TLS, who one is by certificate, bad HTTP, streams, upgrades, stopping."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from api_server import make_certificates, server_context

from wherry.aio.clock import RealClock
from wherry.api.scheme import Scheme
from wherry.apiserver.admission.chain import Admission
from wherry.apiserver.app import App, Options
from wherry.apiserver.auth.user import User
from wherry.apiserver.edge import Edge
from wherry.storage.memory import MemoryStorage

ADMIN = "Authorization: Bearer t"
PATIENCE = 60
"""Seconds, for what takes milliseconds."""


class Running:
    def __init__(self, edge: Edge, app: App, folder: Path, plain: int, tls: int) -> None:
        self.edge, self.app, self.folder, self.plain, self.tls = edge, app, folder, plain, tls

    async def raw(self, data: bytes, *, until_close: bool = False) -> bytes:
        """What the server says to these bytes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.plain)
        writer.write(data)
        try:
            return await asyncio.wait_for(reader.read(-1) if until_close else read_answer(reader), PATIENCE)
        finally:
            writer.close()
            await writer.wait_closed()

    async def ask(self, method: str, target: str, body: Any = None, *more: str) -> tuple[int, Any]:
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {target} HTTP/1.1", "Host: a", ADMIN, f"Content-Length: {len(data)}", *more]
        answer = await self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        return parsed(answer)


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.split(b":")[1]))
    return head


def parsed(answer: bytes) -> tuple[int, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    return status, json.loads(body) if b"application/json" in head and body else body


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    make_certificates(tmp_path)
    storage = MemoryStorage()
    await storage.start()
    clock = RealClock()
    options = Options(
        (tmp_path / "sa.key").read_bytes(),
        tokens={"t": User("admin", ("system:masters",))},
        kubelet_socket=lambda node: str(tmp_path / f"{node}.sock"),
        admission=Admission([]),
    )
    app = App(Scheme.load(), storage, clock, random.Random(1), options)
    edge = Edge(app, clock)
    plain, tls = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    await edge.listen(plain, None)
    await edge.listen(tls, server_context(tmp_path))
    task = asyncio.create_task(edge.run())
    yield Running(edge, app, tmp_path, plain.getsockname()[1], tls.getsockname()[1])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0)  # transports close in the next turn
    await storage.close()


MAPS = "/api/v1/namespaces/default/configmaps"


async def test_the_same_get_again_and_again(running: Running) -> None:
    """The second one comes from the fast path; it must see every change."""
    await running.ask("POST", MAPS, {"metadata": {"name": "c"}, "data": {"a": "1"}})
    reader, writer = await asyncio.open_connection("127.0.0.1", running.plain)
    get = f"GET {MAPS}/c HTTP/1.1\r\nHost: a\r\n{ADMIN}\r\n\r\n".encode()
    listing = f"GET {MAPS} HTTP/1.1\r\nHost: a\r\n{ADMIN}\r\n\r\n".encode()
    for value in ("1", "2", "3"):
        await running.ask("PUT", f"{MAPS}/c", {"metadata": {"name": "c"}, "data": {"a": value}})
        for _ in range(3):
            writer.write(get)
            status, body = parsed(await read_answer(reader))
            assert (status, body["data"]) == (200, {"a": value})
            writer.write(listing)
            status, body = parsed(await read_answer(reader))
            assert [item["data"] for item in body["items"]] == [{"a": value}]
            assert int(body["metadata"]["resourceVersion"]) == running.app.core.storage.revision
    await running.ask("DELETE", f"{MAPS}/c")
    writer.write(get)
    assert parsed(await read_answer(reader))[0] == 404
    writer.close()


async def test_a_large_list_again_and_again(running: Running) -> None:
    """Kept joined from the second time on, and written in portions."""
    for number in range(3):
        data = {"a": str(number) * 300_000}
        await running.ask("POST", MAPS, {"metadata": {"name": f"c{number}"}, "data": data})
    reader, writer = await asyncio.open_connection("127.0.0.1", running.plain)
    for _ in range(4):
        writer.write(f"GET {MAPS} HTTP/1.1\r\nHost: a\r\n{ADMIN}\r\n\r\n".encode())
        status, body = parsed(await read_answer(reader))
        assert (status, [set(item["data"]["a"]) for item in body["items"]]) == (200, [{"0"}, {"1"}, {"2"}])
        assert {len(item["data"]["a"]) for item in body["items"]} == {300_000}
    writer.close()


async def test_pipelined_requests_are_answered_in_order(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.plain)
    one = f"GET {MAPS} HTTP/1.1\r\nHost: a\r\n{ADMIN}\r\n\r\n".encode()
    two = f"GET /version HTTP/1.1\r\nHost: a\r\n{ADMIN}\r\n\r\n".encode()
    writer.write((one + two) * 20)
    for _ in range(20):
        assert parsed(await read_answer(reader))[1]["kind"] == "ConfigMapList"
        assert parsed(await read_answer(reader))[1]["major"] == "1"
    writer.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: zip\r\n\r\n", 501),
    ],
)
async def test_bad_http_is_answered_with_a_status(running: Running, data: bytes, status: int) -> None:
    code, body = parsed(await running.raw(data, until_close=True))
    assert code == status
    assert (body["kind"], body["code"]) == ("Status", status)


async def test_unknown_methods_are_405(running: Running) -> None:
    status, body = await running.ask("FOO", MAPS)
    assert (status, body["reason"]) == (405, "MethodNotAllowed")


async def test_a_body_that_is_too_large(running: Running) -> None:
    status, body = await running.ask("POST", MAPS, {"metadata": {"name": "c"}, "data": {"a": "x" * (4 << 20)}})
    assert (status, body["message"]) == (413, "Request entity too large: limit is 3145728")
    chunked = (
        f"POST {MAPS} HTTP/1.1\r\nHost: a\r\n{ADMIN}\r\nTransfer-Encoding: chunked\r\n\r\n400000\r\n".encode()
        + b"x" * (1 << 20)
    )
    assert parsed(await running.raw(chunked, until_close=True))[0] == 413


async def test_a_truncated_body_is_400_and_nothing_is_stored(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.plain)
    writer.write(f'POST {MAPS} HTTP/1.1\r\nHost: a\r\n{ADMIN}\r\nContent-Length: 50\r\n\r\n{{"met'.encode())
    writer.write_eof()
    status, body = parsed(await asyncio.wait_for(reader.read(-1), PATIENCE))
    assert (status, body["message"]) == (400, "unexpected EOF")
    writer.close()
    assert (await running.ask("GET", MAPS))[1]["items"] == []


async def test_expect_continue(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.plain)
    body = b'{"metadata":{"name":"c"}}'
    writer.write(
        f"POST {MAPS} HTTP/1.1\r\nHost: a\r\n{ADMIN}\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert parsed(await read_answer(reader))[0] == 201
    writer.close()


async def test_warnings_are_headers(running: Running) -> None:
    data = json.dumps({"metadata": {"name": "c"}, 'f"oo': 1}).encode()
    head = f"POST {MAPS} HTTP/1.1\r\nHost: a\r\n{ADMIN}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    answer = await running.raw(head + data)
    assert b'\r\nWarning: 299 - "unknown field \\"f\\"oo\\""\r\n' in answer


async def test_a_watch_is_sent_event_by_event(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.plain)
    writer.write(f"GET {MAPS}?watch=1 HTTP/1.1\r\nHost: a\r\n{ADMIN}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    for name in ("a", "b"):
        await running.ask("POST", MAPS, {"metadata": {"name": name}})
        size = int(await reader.readuntil(b"\r\n"), 16)
        event = json.loads(await reader.readexactly(size))
        await reader.readexactly(2)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", name)
    assert running.app.metrics.long_running == 1
    writer.close()
    async with asyncio.timeout(PATIENCE):
        while running.app.metrics.long_running:
            await asyncio.sleep(0.01)


async def test_stopping_ends_watches_at_once(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.plain)
    writer.write(f"GET {MAPS}?watch=1 HTTP/1.1\r\nHost: a\r\n{ADMIN}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        await running.edge.stop()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    writer.close()


async def test_client_certificates_say_who_one_is(running: Running) -> None:
    async def who(certificate: str | None) -> tuple[int, Any]:
        context = ssl.create_default_context(cafile=running.folder / "ca.crt")
        if certificate:
            context.load_cert_chain(running.folder / f"{certificate}.crt", running.folder / f"{certificate}.key")
        reader, writer = await asyncio.open_connection("127.0.0.1", running.tls, ssl=context)
        body = b"{}"
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        writer.write(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n".encode() + body)
        answer = parsed(await read_answer(reader))
        writer.close()
        await writer.wait_closed()
        return answer

    status, body = await who("admin")
    assert status == 201
    info = body["status"]["userInfo"]
    (credential,) = info.pop("extra")["authentication.kubernetes.io/credential-id"]
    assert re.fullmatch("X509SHA256=[0-9a-f]{64}", credential)
    assert info == {"username": "admin", "groups": ["system:masters", "system:authenticated"]}
    status, body = await who("user")
    assert status == 403
    assert 'User "jane" cannot create resource "selfsubjectreviews"' in body["message"]
    status, body = await who(None)
    assert (status, body["reason"]) == (401, "Unauthorized")


async def make_pod(running: Running) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}}
    status, body = await running.ask("POST", "/api/v1/namespaces/default/pods", pod)
    assert status == 201, body


async def test_upgrades_reach_the_kubelet_as_they_are(running: Running) -> None:
    heads: list[bytes] = []

    async def kubelet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
        while data := await reader.read(1000):
            writer.write(data.upper())
        writer.close()

    await make_pod(running)
    server = await asyncio.start_unix_server(kubelet, running.folder / "n1.sock")
    reader, writer = await asyncio.open_connection("127.0.0.1", running.plain)
    target = "/api/v1/namespaces/default/pods/p/exec?command=sh&command=-c&stdin=true&stdout=true&tty=false"
    lines = [f"POST {target} HTTP/1.1", "Host: a", ADMIN, "Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream: v4"]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\nearly ")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    writer.write(b"late")
    assert await asyncio.wait_for(reader.readexactly(10), PATIENCE) == b"EARLY LATE"
    head = heads[0].decode()
    assert head.startswith("POST /exec/default/p/c?input=1&output=1&command=sh&command=-c HTTP/1.1\r\n")
    assert "upgrade: SPDY/3.1" in head
    assert "authorization" not in head.lower()
    writer.close()
    async with asyncio.timeout(PATIENCE):
        while running.app.metrics.long_running:
            await asyncio.sleep(0.01)
    server.close()
    await server.wait_closed()


async def test_logs_stream_and_refusals_are_statuses(running: Running) -> None:
    async def kubelet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"tailLines=1 " in head:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello\n\r\n0\r\n\r\n")
        else:
            text = b'container "c" in pod "p" is waiting to start: ContainerCreating'
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
        await writer.drain()
        writer.close()

    path = "/api/v1/namespaces/default/pods/p/log"
    await make_pod(running)
    status, body = await running.ask("GET", path)
    assert status == 500
    assert "the kubelet of node n1 does not answer" in body["message"]
    server = await asyncio.start_unix_server(kubelet, running.folder / "n1.sock")
    answer = await running.raw(
        f"GET {path}?tailLines=1 HTTP/1.1\r\nHost: a\r\n{ADMIN}\r\nConnection: close\r\n\r\n".encode(), until_close=True
    )
    assert answer.endswith(b"\r\n\r\n6\r\nhello\n\r\n0\r\n\r\n")
    status, body = await running.ask("GET", path)
    assert (status, body["reason"]) == (400, "BadRequest")
    assert body["message"] == 'container "c" in pod "p" is waiting to start: ContainerCreating'
    server.close()
    await server.wait_closed()


async def test_metrics_come_from_the_kubelets(running: Running) -> None:
    await running.ask("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    await make_pod(running)
    _, pod = await running.ask("GET", "/api/v1/namespaces/default/pods/p")
    cpu = {"time": "2026-01-01T00:00:09Z", "usageNanoCores": 5_000_000, "windowSeconds": 1.25}
    usage = {"cpu": cpu, "memory": {"workingSetBytes": 10 << 20}}
    later = {**usage, "cpu": {**cpu, "time": "2026-01-01T00:00:10Z", "windowSeconds": 2}}
    reference = {"name": "p", "namespace": "default", "uid": pod["metadata"]["uid"]}
    summary = json.dumps(
        {"node": later, "pods": [{"podRef": reference, "containers": [{"name": "c", **usage}, {"name": "d", **later}]}]}
    ).encode()

    async def kubelet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(summary), summary))
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(kubelet, running.folder / "n1.sock")
    status, body = await running.ask("GET", "/apis/metrics.k8s.io/v1beta1/nodes")
    assert status == 200
    used = {"cpu": "5000000n", "memory": "10240Ki"}
    assert body["items"][0]["usage"] == used
    assert (body["items"][0]["timestamp"], body["items"][0]["window"]) == ("2026-01-01T00:00:10Z", "2s")
    status, body = await running.ask("GET", "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/p")
    assert body["kind"] == "PodMetrics"
    assert body["containers"] == [{"name": "c", "usage": used}, {"name": "d", "usage": used}]
    assert (body["timestamp"], body["window"]) == ("2026-01-01T00:00:09Z", "2s"), (
        "what was measured, not when it was asked"
    )
    server.close()
    await server.wait_closed()


async def test_what_it_says_of_itself(running: Running) -> None:
    await running.ask("GET", MAPS)
    _, text = await running.ask("GET", "/metrics")
    assert b'apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps"' in text
    status, text = await running.ask("GET", "/readyz?verbose")
    assert status == 200
    assert text.endswith(b"readyz check passed\n")
    answer = await running.raw(f"HEAD /healthz HTTP/1.0\r\n{ADMIN}\r\n\r\n".encode(), until_close=True)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")


async def test_who_is_closed_twice_may_still_stop_sending(running: Running) -> None:
    """asyncio's transport of TLS forgets what it was once it is closed twice; the client's last words come after that."""
    context = ssl.create_default_context(cafile=str(running.folder / "ca.crt"))
    context.check_hostname = False
    reader, writer = await asyncio.open_connection("127.0.0.1", running.tls, ssl=context)
    writer.write(f"GET /version HTTP/1.1\r\nHost: a\r\n{ADMIN}\r\n\r\n".encode())
    await read_answer(reader)
    (connection,) = running.edge.connections
    transport = connection._transport
    transport.close()
    transport.close()
    assert connection.eof_received() is False
    writer.close()
    async with asyncio.timeout(PATIENCE):
        while running.edge.connections:
            await asyncio.sleep(0.01)
