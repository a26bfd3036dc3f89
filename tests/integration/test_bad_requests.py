"""What is no request, no TLS of ours, or nobody's: bytes on the socket, credentials; the server answers, closes, lives on."""

from __future__ import annotations

import json
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from control_plane_process import ControlPlane
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

MAPS = "/api/v1/namespaces/default/configmaps"
BODY = b'{"metadata":{"name":"never"}}'
HOST = b"Host: a\r\n"
VERSION = b"GET /version HTTP/1.1\r\n" + HOST


def post(head: bytes, body: bytes = b"") -> bytes:
    return f"POST {MAPS} HTTP/1.1\r\n".encode() + HOST + head + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"
REFUSED = {
    "unknown verb": (b"FOO /api/v1/pods HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", 405),
    "no chunk size": (post(CHUNKED, b"zz\r\n{}\r\n0\r\n\r\n"), 400),
    "negative chunk size": (post(CHUNKED, b"-1\r\n{}\r\n0\r\n\r\n"), 400),
    "huge chunk size": (post(CHUNKED, b"ffffffffffffffff\r\n{}"), 400),
    "chunk longer than it says": (post(CHUNKED, b"1\r\n{}\r\n0\r\n\r\n"), 400),
    "two lengths": (post(CHUNKED + b"Content-Length: 2\r\n", b"{}"), 400),
    "length of letters": (post(b"Content-Length: ab\r\n", b"{}"), 400),
    "negative length": (post(b"Content-Length: -1\r\n", b"{}"), 400),
    "unknown encoding": (post(b"Transfer-Encoding: zip\r\n", b"{}"), 501),
    "long header": (VERSION + b"X: " + b"a" * (2 << 20) + b"\r\n\r\n", 431),
    "many headers": (VERSION + b"X: a\r\n" * 5000 + b"\r\n", 431),
    "folded header": (VERSION + b"X: a\r\n b\r\n\r\n", 400),
    "blank before the colon": (VERSION + b"X : a\r\n\r\n", 400),
    "HTTP/2.0": (b"GET /version HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/0.9": (b"GET /version\r\n\r\n", 400),
    "no version": (b"GET /version HTTP\r\n" + HOST + b"\r\n", 400),
    "bare line feeds": (b"GET /version HTTP/1.1\nHost: a\n\n", 400),
    "no host": (b"GET /version HTTP/1.1\r\n\r\n", 400),
    "two hosts": (VERSION + HOST + b"\r\n", 400),
    "NUL in the path": (f"GET {MAPS}/a\0b HTTP/1.1\r\n".encode() + HOST + b"\r\n", 400),
    "broken escape": (f"GET {MAPS}/a%zz HTTP/1.1\r\n".encode() + HOST + b"\r\n", 400),
    "escaped NUL": (f"GET {MAPS}/a%00b HTTP/1.1\r\n".encode() + HOST + b"Connection: close\r\n\r\n", 404),
    "no UTF-8": (f"GET {MAPS}/a%ff%fe HTTP/1.1\r\n".encode() + HOST + b"Connection: close\r\n\r\n", 404),
    "raw no UTF-8": (f"GET {MAPS}/".encode() + b"\xff\xfe HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", 404),
    "10 MB and no more": (post(b"Connection: close\r\nContent-Length: 10485760\r\n", b"x" * (10 << 20)), 413),
    "10 MB in chunks": (post(CHUNKED, b"a00000\r\n" + b"x" * (10 << 20)), 413),
    "noise": (bytes(range(256)) * 40, 400),
}


def answers(said: bytes) -> list[tuple[int, Any]]:
    """(status, body) of each; bodies are read by their length."""
    found = []
    while said:
        head, _, rest = said.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
        length = int(headers[b"content-length"])
        body, said = rest[:length], rest[length:]
        found.append((int(lines[0].split()[1]), json.loads(body) if b"json" in headers[b"content-type"] else body))
    return found


@pytest.fixture(autouse=True)
def nothing_happens(plane: ControlPlane) -> Any:
    """Nothing is stored, nothing crashes, and the next client is served."""
    before = plane.revision()
    yield
    assert [key for key in plane.written_since(before) if "never" in key] == []
    assert plane.ask("GET", "/readyz").body == b"ok"
    assert plane.tracebacks() == ""


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_request(plane: ControlPlane, what: str) -> None:
    data, status = REFUSED[what]
    ((code, body),) = answers(plane.raw(data))
    assert code == status
    assert (body["kind"], body["status"], body["code"]) == ("Status", "Failure", status)


def test_garbage_after_a_request(plane: ControlPlane) -> None:
    first, second = answers(plane.raw(VERSION + b"\r\n\0\1\2 garbage\r\n\r\n"))
    assert (first[0], first[1]["minor"], second[0]) == (200, "36", 400)


def test_the_connection_survives_a_body_that_is_too_large(plane: ControlPlane) -> None:
    large = post(b"Content-Length: 10485760\r\n", b"x" * (10 << 20))
    first, second = answers(plane.raw(large + VERSION + b"Connection: close\r\n\r\n"))
    assert (first[0], first[1]["reason"]) == (413, "RequestEntityTooLarge")
    assert first[1]["message"] == "Request entity too large: limit is 3145728"
    assert second[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        post(b"Content-Length: 100\r\n", BODY),
        post(CHUNKED, b"100\r\n" + BODY),
        post(CHUNKED, b"1d\r\n" + BODY),
        b"GET /api/v",
    ],
    ids=["length", "in a chunk", "after a chunk", "head"],
)
def test_requests_cut_short(plane: ControlPlane, data: bytes) -> None:
    """TLS has no half-closed connections here: the client that stops is closed at once, answered or not."""
    with plane.connect() as connection:
        connection.sendall(data)
        socket.socket.shutdown(connection, socket.SHUT_WR)
        said = b""
        try:
            while more := connection.recv(1 << 16):
                said += more
        except (ssl.SSLError, ConnectionResetError):
            pass
        assert all(status == 400 for status, _ in answers(said))


def test_what_is_no_tls(plane: ControlPlane) -> None:
    with socket.create_connection(("127.0.0.1", plane.port), timeout=10) as plain:
        plain.sendall(VERSION + b"\r\n")
        said = b""
        try:
            while more := plain.recv(1 << 16):
                said += more
        except ConnectionResetError:
            pass
        assert not said.startswith(b"HTTP/1.1 200")


# -- credentials


def certificate(folder: Path, name: str, ca: Path | None, days: int) -> Path:
    """`folder/name.crt` and `.key` of kubernetes-admin in system:masters, by an authority of the system or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
            x509.NameAttribute(NameOID.COMMON_NAME, "admin"),
        ]
    )
    signer, issuer = key, subject
    if ca is not None:
        loaded = serialization.load_pem_private_key((ca / "ca.key").read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signer, issuer = loaded, x509.load_pem_x509_certificate((ca / "ca.crt").read_bytes()).subject
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .sign(signer, hashes.SHA256())
    )
    path = folder / name
    path.with_suffix(".crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.with_suffix(".key").write_bytes(key.private_bytes(*encoding))
    return path


def test_certificates(plane: ControlPlane, tmp_path: Path) -> None:
    """One that is nobody's, or is over, ends the handshake (Kubernetes answers 401 after it)."""
    pki = plane.state.pki
    good = certificate(tmp_path, "good", pki, 1)
    assert plane.ask("GET", MAPS, context=plane.context(str(good))).status == 200
    for path in (certificate(tmp_path, "foreign", None, 1), certificate(tmp_path, "expired", pki, -1)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            plane.ask("GET", MAPS, context=plane.context(str(path)))


UNAUTHORIZED = (401, "Unauthorized", "Unauthorized")


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "x" * 100_000])
def test_tokens_that_are_nobodys(plane: ControlPlane, token: str) -> None:
    said = plane.ask("GET", MAPS, token=token)
    assert said.problem == UNAUTHORIZED
    assert said.body["metadata"] == {}


def test_a_token_somebody_changed(plane: ControlPlane) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    said = plane.ask("POST", path, {"spec": {}})
    token: str = said.body["status"]["token"]
    head, claims, signature = token.split(".")
    assert plane.ask("GET", "/version", token=token).status == 200
    for other in (f"{head}.{claims}.{signature[:-4]}AAAA", f"{head}.{claims}.", f"{head}.{claims[:-1]}.{signature}"):
        assert plane.ask("GET", "/version", token=other).problem == UNAUTHORIZED
    elsewhere = plane.ask("POST", path, {"spec": {"audiences": ["vault"]}}).body["status"]["token"]
    assert plane.ask("GET", "/version", token=elsewhere).problem == UNAUTHORIZED


def test_anonymous_sees_what_everybody_may(plane: ControlPlane) -> None:
    assert plane.ask("GET", "/version", token="").status == 200
    assert plane.ask("GET", "/healthz", token="").status == 200
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
        assert plane.ask("GET", MAPS, token="", **headers).problem == UNAUTHORIZED
    assert plane.ask("GET", "/metrics", token="").problem == UNAUTHORIZED
    assert plane.ask("GET", "/openid/v1/jwks", token="").problem == UNAUTHORIZED
    assert plane.ask("POST", MAPS, {"metadata": {"name": "never"}}, token="").problem == UNAUTHORIZED
    said = plane.ask("POST", "/version", token="")
    assert said.problem[2] == 'forbidden: User "system:anonymous" cannot post path "/version"'
