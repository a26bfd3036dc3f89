"""How answers travel: compressed or not, watches over WebSocket, thousands of idle watches, clients that do not read."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from proxy_world import World, world

from wherry.apiserver.compression import GZIP_BYTES_MIN, takes_gzip

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
        answered = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
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
