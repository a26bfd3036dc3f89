"""Calls out: targets from client configs, endpoints of Services, and whole exchanges with local servers in TLS and without.

The servers are real sockets on loopback; what they answer is bytes given here, so that odd answers can be told too.
"""

from __future__ import annotations

import asyncio
import base64
import random
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from wherry.aio.clock import ManualClock
from wherry.api.errors import StatusError
from wherry.api.resources import ENDPOINT_SLICES, SERVICES
from wherry.api.types import GVR, Obj
from wherry.apiserver import backends
from wherry.apiserver.dialing import MachineNetwork
from wherry.apiserver.outward import OutwardError, OutwardTimeout, Target
from wherry.apiserver.outward_client import IDLE_SECONDS, OutwardClient

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Objects:
    """What is stored, by kind."""

    def __init__(self, **stored: list[Obj]) -> None:
        self._by = {SERVICES: stored.get("services", []), ENDPOINT_SLICES: stored.get("slices", [])}

    def get(self, gvr: GVR, name: str, namespace: str | None = None) -> Obj | None:
        return next((each for each in self._by[gvr] if each["metadata"]["name"] == name), None)

    def list(self, gvr: GVR, namespace: str | None = None) -> list[Obj]:
        return self._by[gvr]


def service(*ports: Obj, **spec: Any) -> Obj:
    return {"metadata": {"name": "hook", "namespace": "shop"}, "spec": {"ports": list(ports), **spec}}


def slice_of(port: int, *addresses: str, name: str = "", ready: bool | None = True) -> Obj:
    return {
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "addressType": "IPv4",
        "ports": [{"port": port, "name": name}],
        "endpoints": [{"addresses": [each], "conditions": {"ready": ready}} for each in addresses],
    }


class Served:
    """A server that answers each request with the next of its answers and remembers what it was sent."""

    def __init__(self, answers: list[bytes], close: bool = False) -> None:
        self.answers = answers
        self.close = close
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.answers:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")), 0
                )
                self.requests.append(head + await reader.readexactly(length))
                writer.write(self.answers.pop(0))
                await writer.drain()
                if self.close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(served: Served, context: ssl.SSLContext | None = None) -> AsyncGenerator[Served, None]:
    server = await asyncio.start_server(served, "127.0.0.1", 0, ssl=context)
    served.port = server.sockets[0].getsockname()[1]
    async with server:
        yield served


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, bytes]:
    """A server context for hook.shop.svc, and the (self-signed) certificate itself as its authority."""
    folder: Path = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hook")])
    now = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hook.shop.svc")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(pem + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context, pem


def client(objects: Objects | None = None, clock: ManualClock | None = None) -> OutwardClient:
    return OutwardClient(objects or Objects(), MachineNetwork(), clock or ManualClock(), random.Random(1))


async def said(outward: OutwardClient, target: Target, timeout: float = 5.0) -> OutwardError:
    with pytest.raises(OutwardError) as caught:
        await outward.request(target, "POST", "?timeout=10s", {}, b"{}", timeout)
    return caught.value


# -- targets and endpoints


def test_a_target_from_a_client_config() -> None:
    bundle = base64.b64encode(b"PEM").decode()
    inside = Target.of({"service": {"namespace": "shop", "name": "hook", "path": "/check"}, "caBundle": bundle})
    assert inside == Target(namespace="shop", name="hook", path="/check", ca_bundle=b"PEM")
    assert inside.base == "https://hook.shop.svc:443/check"
    assert Target.of({"url": "https://hooks.example/x"}).base == "https://hooks.example/x"
    assert Target.of({"service": {"namespace": "a", "name": "b", "port": 8443}}).base == "https://b.a.svc:8443"


@pytest.mark.parametrize(
    ("objects", "code", "text"),
    [
        (Objects(), 404, 'service "hook" not found'),
        (Objects(services=[service({"port": 80})]), 503, 'no service port 443 found for service "hook"'),
        (Objects(services=[service({"port": 443})]), 503, 'no endpoints available for service "hook"'),
        (
            Objects(services=[service({"port": 443})], slices=[slice_of(8443, "10.0.0.1", ready=False)]),
            503,
            'no endpoints available for service "hook"',
        ),
    ],
)
def test_why_there_is_no_backend(objects: Objects, code: int, text: str) -> None:
    with pytest.raises(StatusError) as caught:
        backends.resolve(objects, "shop", "hook", 443, random.Random(1))
    assert (caught.value.code, caught.value.message) == (code, text)


def test_backends_are_the_ready_ones_of_the_named_port() -> None:
    pieces = [slice_of(8443, "10.0.0.1", "10.0.0.2", name="tls"), slice_of(9090, "10.0.0.1", name="metrics")]
    objects = Objects(services=[service({"port": 443, "name": "tls"})], slices=pieces)
    found = {backends.resolve(objects, "shop", "hook", 443, random.Random(seed)) for seed in range(20)}
    assert found == {backends.Backend("10.0.0.1", 8443), backends.Backend("10.0.0.2", 8443)}


# -- exchanges


async def test_a_service_is_called_by_its_name_over_a_kept_connection(certified: tuple[ssl.SSLContext, bytes]) -> None:
    context, pem = certified
    async with serving(Served([ANSWER, ANSWER]), context) as server:
        outward = client(Objects(services=[service({"port": 443})], slices=[slice_of(server.port, "127.0.0.1")]))
        target = Target(namespace="shop", name="hook", path="/check", ca_bundle=pem)
        for _ in range(2):
            reply = await outward.request(target, "POST", "?timeout=10s", {"Content-Type": "a/b"}, b"{}", 5)
            assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"{}", "application/json")
        outward.close()
    assert server.connections == 1
    assert server.requests[0].startswith(b"POST /check?timeout=10s HTTP/1.1\r\nHost: hook.shop.svc:443\r\n")
    assert server.requests[0].endswith(b"\r\n\r\n{}")


async def test_a_connection_the_server_closed_is_replaced(certified: tuple[ssl.SSLContext, bytes]) -> None:
    context, pem = certified
    async with serving(Served([ANSWER, ANSWER], close=True), context) as server:
        outward = client(Objects(services=[service({"port": 443})], slices=[slice_of(server.port, "127.0.0.1")]))
        target = Target(namespace="shop", name="hook", ca_bundle=pem)
        for _ in range(2):
            assert (await outward.request(target, "POST", "", {}, b"{}", 5)).status == 200
        outward.close()
    assert server.connections == 2


async def test_a_connection_is_not_kept_for_ever() -> None:
    clock = ManualClock()
    async with serving(Served([ANSWER, ANSWER])) as server:
        outward = client(clock=clock)
        for _ in range(2):
            await outward.request(Target(url=f"http://127.0.0.1:{server.port}"), "GET", "/", {}, b"", 5)
            clock.advance(IDLE_SECONDS + 1)
        outward.close()
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n",
            b"abcde",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.0 200 OK\r\n\r\nall of it", b"all of it"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_every_way_a_body_can_come(answer: bytes, body: bytes) -> None:
    async with serving(Served([answer], close=True)) as server:
        outward = client()
        reply = await outward.request(Target(url=f"http://127.0.0.1:{server.port}/"), "GET", "", {}, b"", 5)
        outward.close()
    assert reply.body == body


# -- failures, in Go's words


async def test_nobody_listens() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        error = await said(client(), Target(url=f"https://127.0.0.1:{port}/x"))
    assert str(error) == (
        f'Post "https://127.0.0.1:{port}/x?timeout=10s": dial tcp 127.0.0.1:{port}: connect: connection refused'
    )


@pytest.mark.parametrize("port", ["99999", "443x"])
async def test_a_url_whose_port_is_none(port: str) -> None:
    error = await said(client(), Target(url=f"https://127.0.0.1:{port}/x"))
    assert error.cause == f"dial tcp: address {port}: invalid port"


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        (Target(ca_bundle=b""), "tls: failed to verify certificate: x509: certificate signed by unknown authority"),
        (Target(ca_bundle=b"no PEM"), "unable to load root certificates: unable to parse bytes as PEM block"),
    ],
)
async def test_certificates_we_do_not_trust(
    certified: tuple[ssl.SSLContext, bytes], target: Target, cause: str
) -> None:
    async with serving(Served([ANSWER]), certified[0]) as server:
        objects = Objects(services=[service({"port": 443})], slices=[slice_of(server.port, "127.0.0.1")])
        wanted = Target(namespace="shop", name="hook", ca_bundle=target.ca_bundle)
        assert (await said(client(objects), wanted)).cause == cause


async def test_a_certificate_for_somebody_else(certified: tuple[ssl.SSLContext, bytes]) -> None:
    context, pem = certified
    async with serving(Served([ANSWER]), context) as server:
        error = await said(client(), Target(url=f"https://localhost:{server.port}", ca_bundle=pem))
    assert "x509: certificate is not valid for any names, but wanted to match localhost" in error.cause


async def test_a_service_that_is_not_there() -> None:
    error = await said(client(), Target(namespace="shop", name="hook"))
    assert str(error) == 'Post "https://hook.shop.svc:443?timeout=10s": service "hook" not found'


async def test_no_answer_in_time() -> None:
    stuck = Served([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"waits for another request"])
    async with serving(stuck) as server:
        error = await said(client(), Target(url=f"http://127.0.0.1:{server.port}"), timeout=0.02)
    assert isinstance(error, OutwardTimeout)
    assert error.cause == "context deadline exceeded"


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"hello\r\n\r\n", 'malformed HTTP response "hello"'),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 'bad Content-Length "-1"'),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "unexpected EOF"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed chunked encoding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\n", 'net/http: unsupported transfer encoding: "br"'),
        (b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n", "malformed MIME header line"),
        (b"", "EOF"),
    ],
)
async def test_answers_that_are_none(answer: bytes, cause: str) -> None:
    async with serving(Served([answer], close=True)) as server:
        assert (await said(client(), Target(url=f"http://127.0.0.1:{server.port}"))).cause == cause
