"""Clients that ask and do not listen: what they cost is bounded in memory, in time, and in number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from proxy_world import World, world

from wherry.aio.clock import LoopClock
from wherry.aio.virtual import run_virtual
from wherry.apiserver.connection import PIECE_BYTES, STALLED_LOOKS
from wherry.storage import watch
from wherry.storage.memory import MemoryStorage

MAPS = "/api/v1/namespaces/shop/configmaps"
GET = f"GET {MAPS}/big HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer admin\r\n\r\n".encode()
SIZE = 900_000


@pytest.fixture
async def cluster() -> AsyncIterator[World]:
    async with world() as made:
        await made.create(MAPS, {"metadata": {"name": "big"}, "data": {"a": "x" * SIZE}})
        yield made


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


async def test_asking_again_and_again_without_reading_is_not_answered_again_and_again(cluster: World) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", cluster.port, limit=1 << 10)
    for _ in range(40):  # 36 MB of answers, the second and later ones from memory
        writer.write(GET)
        await cluster.ask("GET", "/version")
    (connection,) = [each for each in cluster.edge.connections if each._transport.get_write_buffer_size()]
    assert connection._transport.get_write_buffer_size() < SIZE + 2 * PIECE_BYTES
    writer.transport.abort()
    await eventually(lambda: connection not in cluster.edge.connections)


async def test_an_answer_nobody_takes_is_given_up(cluster: World) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", cluster.port, limit=1 << 10)
    for _ in range(40):
        writer.write(GET)
    await cluster.ask("GET", "/version")
    stuck = [each for each in cluster.edge.connections if each._transport.get_write_buffer_size()]
    assert len(stuck) == 1
    for _ in range(STALLED_LOOKS):
        stuck[0].look_after(0)
    assert stuck[0] in cluster.edge.connections, "it may only be slow"
    stuck[0].look_after(0)
    await eventually(lambda: stuck[0] not in cluster.edge.connections)
    writer.transport.abort()


async def test_a_large_answer_arrives_whole(cluster: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", cluster.port)
    for _ in range(3):
        writer.write(GET)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
        assert length > SIZE > 2 * PIECE_BYTES
        assert (await reader.readexactly(length)).endswith(b"}\n")
    writer.close()


async def test_connections_are_bounded(cluster: World) -> None:
    await cluster.ask("GET", "/version")
    cluster.edge.connections_max = len(cluster.edge.connections) + 1
    first = await asyncio.open_connection("127.0.0.1", cluster.port)
    first[1].write(GET)
    await first[0].readuntil(b"\r\n\r\n")
    second = await asyncio.open_connection("127.0.0.1", cluster.port)
    second[1].write(GET)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await second[0].readuntil(b"\r\n\r\n")
    for _, writer in (first, second):
        writer.transport.abort()


def test_many_watchers_leave_turns_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        monkeypatch.setattr(watch, "WOKEN_AT_ONCE", 10)
        storage = MemoryStorage()
        await storage.start()
        heard: list[int] = []

        async def listen(number: int) -> None:
            await anext(aiter(storage.watch("/registry/core/configmaps/", 0)))
            heard.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(35):
                group.create_task(listen(number))
            await LoopClock().sleep(1)
            await storage.create("/registry/core/configmaps/shop/a", {"metadata": {"name": "a"}})
            turns: list[int] = []
            while len(heard) < 35:
                await asyncio.sleep(0)
                turns.append(len(heard))
        assert heard == list(range(35))
        assert len(set(turns)) > 2, "others had their turn in between"

    run_virtual(scene())
