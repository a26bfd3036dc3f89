"""Bytes through a relay between two TCP connections of this process."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest

from wherry.network.poller import Poller
from wherry.network.relay import Relay


def pair() -> tuple[socket.socket, socket.socket]:
    """(far, near) of a TCP connection; far times out, near does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    far.setblocking(False)
    near.setblocking(False)
    return far, near


class Stage:
    def __init__(self) -> None:
        self.poller = Poller()
        self.poller.start()
        self.client, near_client = pair()
        self.backend, near_backend = pair()
        self.ended: list[str] = []
        self.relay = Relay.between("r", near_client, near_backend, self.poller, lambda r: self.ended.append(r.name))
        self.relay.start()

    def close(self) -> None:
        self.relay.close()
        self.poller.close()
        self.client.close()
        self.backend.close()


@pytest.fixture
async def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


async def read(sock: socket.socket, size: int) -> bytes:
    loop, data = asyncio.get_running_loop(), bytearray()
    while len(data) < size and (part := await loop.sock_recv(sock, 1 << 18)):
        data += part
    return bytes(data)


async def test_both_ways_and_half_closes(stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(stage.client, b"ping")
    assert await read(stage.backend, 4) == b"ping"
    stage.client.shutdown(socket.SHUT_WR)
    assert await loop.sock_recv(stage.backend, 1) == b""
    await loop.sock_sendall(stage.backend, b"pong")
    assert await read(stage.client, 4) == b"pong"
    assert stage.ended == []
    stage.backend.shutdown(socket.SHUT_WR)
    assert await loop.sock_recv(stage.client, 1) == b""
    assert stage.ended == ["r"]


async def test_a_slow_reader_slows_the_writer_and_loses_nothing(stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    payload = os.urandom(1 << 20) * 4
    sending = asyncio.ensure_future(loop.sock_sendall(stage.client, payload))
    await asyncio.sleep(0)
    received = await read(stage.backend, len(payload))
    await sending
    assert received == payload


async def test_a_reset_is_passed_on(stage: Stage) -> None:
    stage.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    stage.client.close()
    with pytest.raises(ConnectionResetError):
        await asyncio.get_running_loop().sock_recv(stage.backend, 1)
    assert stage.ended == ["r"]


async def test_somebody_else_goes_on(stage: Stage) -> None:
    """As after kill -9: duplicates of the descriptors, with bytes in the pipes, in a new relay."""
    loop = asyncio.get_running_loop()
    sent = 0
    while True:  # until every buffer and the pipe are full
        try:
            sent += stage.client.send(bytes(1 << 16))
        except BlockingIOError:
            before = sent
            for _ in range(20):
                await asyncio.sleep(0)
            try:
                sent += stage.client.send(bytes(1 << 16))
            except BlockingIOError:
                if sent == before:
                    break
    fds = [os.dup(fd) for fd in stage.relay.descriptors]
    stage.poller.close()
    poller = Poller()
    poller.start()
    relay = Relay.restore("r", fds, poller, lambda _: None)
    relay.start()
    stage.client.shutdown(socket.SHUT_WR)
    assert len(await read(stage.backend, sent + 1)) == sent
    await loop.sock_sendall(stage.backend, b"done")
    assert await read(stage.client, 4) == b"done"
    relay.close()
    poller.close()
    stage.poller = Poller()
    stage.poller.start()
