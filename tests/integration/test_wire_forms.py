"""How answers travel: compressed or not, watches over WebSocket, thousands of idle watches, clients that do not read."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from proxy_world import World, world

from wherry.aio.clock import ManualClock
from wherry.apiserver.compression import GZIP_BYTES_MIN, takes_gzip
from wherry.apiserver.connection import ARRIVE_SECONDS

MAPS = "/api/v1/namespaces/shop/configmaps"


@pytest.fixture
async def cluster() -> AsyncIterator[World]:
    async with world() as made:
        yield made


def config_map(name: str, size: int = 1) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"a": "x" * size}}


# -- gzip


@pytest.mark.parametrize(
    ("accept", "yes"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("GZIP", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("identity", False),
        ("", False),
        ("x-gzip", False),
    ],
)
def test_who_takes_gzip(accept: str, yes: bool) -> None:
    assert takes_gzip({"accept-encoding": accept}) == yes


async def test_only_large_answers_are_compressed_and_only_for_who_asks(cluster: World) -> None:
    await cluster.create(MAPS, config_map("small"))
    await cluster.create(MAPS, config_map("large", GZIP_BYTES_MIN))
    wants = {"Accept-Encoding": "gzip"}
    for _ in range(3):  # the second time it could come from what is remembered
        small = await cluster.ask("GET", f"{MAPS}/small", headers=wants)
        assert "Content-Encoding" not in small.headers
        for path in (f"{MAPS}/large", MAPS):
            plain = await cluster.ask("GET", path)
            packed = await cluster.ask("GET", path, headers=wants)
            assert (packed.headers["Content-Encoding"], packed.headers["Vary"]) == ("gzip", "Accept-Encoding")
            assert gzip.decompress(packed.body) == plain.body
            assert len(packed.body) < len(plain.body) / 10


async def test_remembered_heads_do_not_mix_the_two(cluster: World) -> None:
    await cluster.create(MAPS, config_map("grows"))
    reader, writer = await asyncio.open_connection("127.0.0.1", cluster.port)
    head = (
        f"GET {MAPS}/grows HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer admin\r\nAccept-Encoding: gzip\r\n\r\n".encode()
    )
    seen = []
    for turn in range(4):
        if turn == 2:
            merge = {"Content-Type": "application/merge-patch+json"}
            await cluster.ask("PATCH", f"{MAPS}/grows", {"data": {"a": "x" * GZIP_BYTES_MIN}}, headers=merge)
        writer.write(head)
        answered = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        length = next(
            int(line.split(b":")[1]) for line in answered.split(b"\r\n") if line.startswith(b"Content-Length")
        )
        body = await reader.readexactly(length)
        seen.append(b"Content-Encoding: gzip" in answered)
        assert json.loads(gzip.decompress(body) if seen[-1] else body)["metadata"]["name"] == "grows"
    assert seen == [False, False, True, True]
    writer.close()


@pytest.mark.parametrize("encoding", ["gzip", "br", "nonsense"])
async def test_compressed_request_bodies_are_not_unpacked(cluster: World, encoding: str) -> None:
    body = gzip.compress(json.dumps(config_map("z")).encode())
    reply = await cluster.ask("POST", MAPS, body, headers={"Content-Encoding": encoding})
    assert (reply.status, reply.json["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize("media", ["application/cbor", "application/cbor-seq"])
async def test_cbor_is_refused_by_name_of_what_is_taken(cluster: World, media: str) -> None:
    refused = await cluster.ask("POST", MAPS, b"\xa0", headers={"Content-Type": media})
    assert (refused.status, refused.json["reason"]) == (415, "UnsupportedMediaType")
    assert "application/json, application/yaml, application/vnd.kubernetes.protobuf" in refused.message
    unacceptable = await cluster.ask("GET", MAPS, headers={"Accept": media})
    assert (unacceptable.status, unacceptable.json["reason"]) == (406, "NotAcceptable")


# -- watches


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame."""
    mask = b"\x01\x02\x03\x04"
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(payload))


async def one_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, size = await reader.readexactly(2)
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    return first & 15, await reader.readexactly(size)


async def upgraded(
    cluster: World, path: str, *headers: str
) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", cluster.port)
    asked = [
        "Host: a",
        "Authorization: Bearer admin",
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        *headers,
    ]
    writer.write(("\r\n".join([f"GET {path} HTTP/1.1", *asked]) + "\r\n\r\n").encode())
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30), reader, writer


HANDSHAKE = ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13")


async def test_a_watch_over_websocket(cluster: World) -> None:
    await cluster.create(MAPS, config_map("a"))
    head, reader, writer = await upgraded(cluster, f"{MAPS}?watch=1", *HANDSHAKE, "Sec-WebSocket-Protocol: mine")
    assert b" 101 " in head
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455's own example
    assert b"Sec-WebSocket-Protocol: mine" in head
    opcode, payload = await asyncio.wait_for(one_frame(reader), 30)
    assert (opcode, json.loads(payload)["type"]) == (1, "ADDED")
    await cluster.create(MAPS, config_map("b"))
    opcode, payload = await asyncio.wait_for(one_frame(reader), 30)
    assert json.loads(payload)["object"]["metadata"]["name"] == "b"
    writer.write(masked(9, b"there?"))
    assert await asyncio.wait_for(one_frame(reader), 30) == (10, b"there?")
    writer.write(masked(8, b"\x03\xe8"))
    assert await asyncio.wait_for(one_frame(reader), 30) == (8, b"\x03\xe8")
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()


async def test_a_websocket_watch_ends_in_time_and_refuses_nonsense(cluster: World) -> None:
    _, reader, writer = await upgraded(cluster, f"{MAPS}?watch=1&timeoutSeconds=1", *HANDSHAKE)
    assert await asyncio.wait_for(one_frame(reader), 30) == (8, b"\x03\xe8")
    writer.close()
    _, reader, writer = await upgraded(cluster, f"{MAPS}?watch=1", *HANDSHAKE)
    writer.write(b"\x81\x01x")  # not masked
    assert await asyncio.wait_for(one_frame(reader), 30) == (8, b"\x03\xea")
    writer.close()
    head, _, writer = await upgraded(cluster, f"{MAPS}?watch=1", "Sec-WebSocket-Version: 13")
    assert b" 400 " in head
    writer.close()


async def test_idle_watches_cost_little_and_all_hear(cluster: World) -> None:
    """As many as file descriptors allow here; each is a few kilobytes, and an event is encoded once for all."""
    count = 500
    path = f"GET {MAPS}?watch=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer admin\r\n\r\n".encode()
    connections = [await asyncio.open_connection("127.0.0.1", cluster.port) for _ in range(count)]
    for reader, writer in connections:
        writer.write(path)
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    assert cluster.app.metrics.long_running == count
    await cluster.create(MAPS, config_map("news"))
    for reader, _ in connections:
        assert b'"news"' in await asyncio.wait_for(reader.readuntil(b"}\n\r\n"), 30)
    assert (await cluster.ask("GET", f"{MAPS}/news")).status == 200
    for _, writer in connections:
        writer.close()
    async with asyncio.timeout(30):
        while cluster.app.metrics.long_running:
            await asyncio.sleep(0.01)


async def test_a_client_that_does_not_read_costs_a_bounded_buffer(cluster: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", cluster.port, limit=1 << 10)
    writer.write(f"GET {MAPS}?watch=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer admin\r\n\r\n".encode())
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    await cluster.create(MAPS, config_map("big", 200_000))
    merge = {"Content-Type": "application/merge-patch+json"}
    for turn in range(60):  # twelve megabytes of events nobody takes
        await cluster.ask("PATCH", f"{MAPS}/big", {"data": {"turn": str(turn)}}, headers=merge)
    waiting = [connection._transport.get_write_buffer_size() for connection in cluster.edge.connections]
    assert max(waiting) < 2 << 20
    assert (await cluster.ask("GET", f"{MAPS}/big")).status == 200
    writer.close()


@pytest.mark.parametrize(
    "sent", [b"G", b"GET / HTT", b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"]
)
async def test_a_slow_sender_keeps_nobody_waiting(cluster: World, sent: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", cluster.port)
    writer.write(sent)
    assert (await cluster.ask("GET", "/version")).status == 200
    writer.close()


async def test_who_sends_a_request_byte_by_byte_is_let_go() -> None:
    clock = ManualClock()
    async with world(clock) as cluster:
        reader, writer = await asyncio.open_connection("127.0.0.1", cluster.port)
        for byte in b"GET /vers":
            writer.write(bytes([byte]))
            await cluster.ask("GET", "/version")
            clock.advance(ARRIVE_SECONDS / 8)
        for connection in list(cluster.edge.connections):
            connection.look_after(clock.monotonic())
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()
