"""What can go wrong between a client and a server that are two processes: real sockets and TLS, on loopback."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from wherry.api.errors import StatusError, not_found
from wherry.client.http import HttpTransport

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def transport(answer: Answer, **options: object) -> AsyncIterator[HttpTransport]:
    async with serving(answer) as url:
        made = HttpTransport(url, **options)
        try:
            yield made
        finally:
            await made.close()


# Requests


async def test_a_request_says_who_asks_and_for_what() -> None:
    async def answer(request: web.Request) -> web.Response:
        seen = {
            "do": f"{request.method} {request.raw_path}",
            "token": request.headers["Authorization"],
            "agent": request.headers["User-Agent"],
            "accept": request.headers["Accept"],
            "type": request.headers["Content-Type"],
            "body": await request.json(),
        }
        return web.json_response(seen)

    tokens = iter(["one", "two"])
    async with transport(answer, token=lambda: next(tokens), user_agent="test/1") as http:
        asked = await http.request(
            "PATCH",
            "/apis/rbac/clusterroles/system:node",
            query={"labelSelector": "a in (b,c)", "x": "é&="},
            body={"é": [1, None]},
            content_type="application/merge-patch+json",
        )
        assert asked == {
            "do": "PATCH /apis/rbac/clusterroles/system:node?labelSelector=a+in+(b,c)&x=%C3%A9%26%3D",
            "token": "Bearer one",
            "agent": "test/1",
            "accept": "application/json",
            "type": "application/merge-patch+json",
            "body": {"é": [1, None]},
        }
        assert (await http.request("POST", "/", body={}))["token"] == "Bearer two", "the token is asked for each time"


async def test_a_status_is_raised_as_it_was_sent() -> None:
    async def answer(request: web.Request) -> web.Response:
        status = not_found("pods", "p").to_status()
        return web.json_response(status, status=404, headers={"Retry-After": "3"})

    async with transport(answer) as http:
        with pytest.raises(StatusError) as caught:
            await http.request("GET", "/x")
        assert caught.value.to_status() == not_found("pods", "p").to_status()
        assert caught.value.headers == {"Retry-After": "3"}
        with pytest.raises(StatusError, match="not found"):
            async with http.stream("/x"):
                pass


@pytest.mark.parametrize("body", ["<h1>bad gateway</h1>", '{"kind": "Pod"}', ""])
async def test_any_other_failure_is_a_status_error_too(body: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=502, text=body)

    async with transport(answer) as http:
        with pytest.raises(StatusError, match=f"the server answered 502: {body or 'Bad Gateway'}") as caught:
            await http.request("GET", "/x")
        assert caught.value.code == 502


async def test_an_answer_that_is_no_json_is_an_error_and_none_at_all_is_empty() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="ok" if request.path == "/healthz" else "")

    async with transport(answer) as http:
        with pytest.raises(StatusError, match="something else than JSON"):
            await http.request("GET", "/healthz")
        assert await http.request("GET", "/empty") == {}


async def test_warnings_are_heard() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({}, headers={"Warning": '299 - "unknown field \\"spec.x\\""'})

    heard: list[str] = []
    async with transport(answer, on_warning=heard.append) as http:
        await http.request("GET", "/x")
    assert heard == ['unknown field "spec.x"']


# No answer


async def test_nobody_there_is_a_connection_error() -> None:
    http = HttpTransport("http://127.0.0.1:1")
    with pytest.raises(ConnectionError, match=r"cannot reach http://127\.0\.0\.1:1"):
        await http.request("GET", "/x")
    with pytest.raises(ConnectionError, match="cannot reach"):
        async with http.stream("/x"):
            pass
    await http.close()
    with pytest.raises(ConnectionError, match="closed"):
        await http.request("GET", "/x")


async def test_a_server_that_hangs_up_is_a_connection_error() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with transport(answer) as http:
        with pytest.raises(ConnectionError):
            await http.request("POST", "/x", body={})


# Streams


def streaming(*pieces: bytes, hang_up: bool = False, wait: asyncio.Event | None = None) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if wait is not None:
            await wait.wait()
        if hang_up:
            assert request.transport is not None
            request.transport.abort()
        return response

    return answer


EVENT = b'{"type":"ADDED","object":{"metadata":{"name":"p"}}}\n'


async def test_a_stream_gives_events_as_they_come_and_ends_with_the_server() -> None:
    wait = asyncio.Event()
    async with transport(streaming(EVENT[:10], EVENT[10:], EVENT, wait=wait)) as http, http.stream("/x") as events:
        async with asyncio.timeout(60):
            assert [(await anext(events))["type"] for _ in range(2)] == ["ADDED", "ADDED"]
        wait.set()
        assert [event async for event in events] == []


async def read_all(http: HttpTransport) -> None:
    async with http.stream("/x") as events:
        async for event in events:
            assert event["type"] == "ADDED"


async def read_too_long(http: HttpTransport) -> None:
    async with http.stream("/x") as events:
        await anext(events)
        raise TimeoutError


async def test_a_stream_that_breaks_is_a_connection_error() -> None:
    for answer in (streaming(EVENT, hang_up=True), streaming(EVENT, EVENT[:-9]), streaming(EVENT, b"<html>\n")):
        async with transport(answer) as http:
            with pytest.raises(ConnectionError):
                await read_all(http)


async def test_a_timeout_of_the_reader_is_the_readers() -> None:
    wait = asyncio.Event()
    async with transport(streaming(EVENT, wait=wait)) as http:
        with pytest.raises(TimeoutError):
            await read_too_long(http)
        wait.set()


async def test_bytes_are_read_as_they_are() -> None:
    async with transport(streaming(b"line 1\n", b"line 2\n")) as http, http.read("/log") as pieces:
        assert b"".join([piece async for piece in pieces]) == b"line 1\nline 2\n"


# TLS


class Authority:
    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self.sign("test CA", self.key, None)

    def sign(self, name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(now + datetime.timedelta(minutes=10))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if issuer is None:  # what Python 3.13 asks of certificates
            usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
            builder = builder.add_extension(authority, critical=False)
        return builder.sign(self.key, SHA256())

    def issue(self, name: str) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.sign(name, key, self.certificate)
        return (
            certificate.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def server_context(self, folder: Path) -> ssl.SSLContext:
        certificate, key = self.issue("server")
        (folder / "server.pem").write_bytes(certificate + key)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=self.pem.decode())
        context.load_cert_chain(folder / "server.pem")
        context.verify_mode = ssl.CERT_OPTIONAL
        return context


async def whoami(request: web.Request) -> web.Response:
    assert request.transport is not None
    certificate = request.transport.get_extra_info("peercert")
    return web.json_response({"user": certificate["subject"][0][0][1] if certificate else "nobody"})


@pytest.mark.usefixtures("sockets_left")  # aiohttp's server waits for the client's end of TLS
async def test_the_server_is_verified_and_the_client_certificate_shown(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue("admin")
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    (tmp_path / "admin.crt").write_bytes(certificate)
    (tmp_path / "admin.key").write_bytes(key)
    files = {"ca": tmp_path / "ca.crt", "certificate": tmp_path / "admin.crt", "key": tmp_path / "admin.key"}
    async with serving(whoami, authority.server_context(tmp_path)) as url:
        for options, user in (
            ({"ca": authority.pem}, "nobody"),
            ({"ca": authority.pem, "certificate": certificate, "key": key}, "admin"),
            (files, "admin"),
            ({"verify": False}, "nobody"),
        ):
            http = HttpTransport(url, **options)
            assert await http.request("GET", "/") == {"user": user}
            await http.close()


@pytest.mark.usefixtures("sockets_left")  # aiohttp's server waits for the client's end of TLS
async def test_a_server_of_another_authority_is_refused(tmp_path: Path) -> None:
    async with serving(whoami, Authority().server_context(tmp_path)) as url:
        for options in ({"ca": Authority().pem}, {}):
            http = HttpTransport(url, **options)
            with pytest.raises(ConnectionError, match="certificate verify failed"):
                await http.request("GET", "/")
            await http.close()
