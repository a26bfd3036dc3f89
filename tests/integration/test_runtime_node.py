"""The launcher's operations on the node's network and on descriptors it holds for others."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import struct

import pytest
from runtime_world import client, launcher

from wherry.launcher.client import LauncherClient, LauncherError
from wherry.testing.launcher_process import LauncherProcess

__all__ = ["client", "launcher"]


async def test_a_kept_socket_is_the_same_for_the_next_caller(client: LauncherClient) -> None:
    bind = {"type": "tcp", "bind": ["10.96.0.1", 443], "backlog": 16, "keep": "api"}
    first, second = [socket.socket(fileno=(await client.call("node.socket", **bind)).fds[0]) for _ in range(2)]
    with first, second:
        assert first.getsockname() == second.getsockname() == ("10.96.0.1", 443)
        assert not os.get_blocking(first.fileno())
        first.setblocking(False)
        second.setblocking(False)
        [fd] = (await client.call("node.sockets", count=1)).fds
        with socket.socket(fileno=fd) as calling:
            await asyncio.get_running_loop().sock_connect(calling, ("10.96.0.1", 443))
            accepted, _ = await asyncio.get_running_loop().sock_accept(second)
            accepted.close()
    with pytest.raises(LauncherError) as failure:
        await client.call("node.socket", type="tcp", bind=["10.96.0.1", 443], backlog=1)
    assert failure.value.reason == "AddressInUse"
    await client.call("fds.drop", names=["api"])


async def test_the_nodes_network_is_its_own(client: LauncherClient) -> None:
    [fd] = (await client.call("node.socket", type="udp", bind=["10.244.0.1", 0])).fds
    socket.socket(fileno=fd).close()
    with socket.socket() as here, pytest.raises(OSError, match="assign requested address"):
        here.bind(("10.244.0.1", 0))
    dump = struct.pack("=IHHIIBxHiII", 32, 18, 0x301, 1, 0, 0, 0, 0, 0, 0)
    reply = await client.call("node.netlink", protocol=0, payload=base64.b64encode(dump).decode())
    assert b"lo\0" in base64.b64decode(reply.args["replies"])


async def test_descriptors_outlive_who_put_them(launcher: LauncherProcess, client: LauncherClient) -> None:
    read, write = os.pipe()
    other = LauncherClient(launcher.socket)
    await other.connect()
    await other.call("fds.put", fds=[read, write], name="netd/one")
    other.close()
    os.close(read)
    os.close(write)
    assert (await client.call("fds.list", prefix="netd/")).args == {"names": ["netd/one"]}
    for _ in range(2):
        taken = (await client.call("fds.take", name="netd/one")).fds
        os.write(taken[1], b"x")
        assert os.read(taken[0], 1) == b"x"
        for fd in taken:
            os.close(fd)
    await client.call("fds.drop", names=["netd/one", "never there"])
    with pytest.raises(LauncherError, match="no descriptors are held as 'netd/one'"):
        await client.call("fds.take", name="netd/one")


async def test_bad_requests_are_answered(client: LauncherClient) -> None:
    for op, arguments, reason in [
        ("no.such", {}, "UnknownOperation"),
        ("node.sockets", {"count": 1000}, "InvalidArgument"),
        ("node.sockets", {}, "InvalidArgument"),
        ("node.socket", {"bind": ["256.1.1.1", 1]}, "Kernel"),
        ("fds.take", {"name": 7}, "InvalidArgument"),
        ("node.netlink", {"protocol": 0, "payload": "%"}, "InternalError"),
        ("container.status", {"id": "x"}, "NotFound"),
        ("sandbox.run", {"id": "x"}, "InternalError"),
    ]:
        with pytest.raises(LauncherError) as failure:
            await client.call(op, **arguments)
        assert failure.value.reason == reason, op
    assert (await client.call("ping")).args["tier"]


async def test_many_calls_at_once(client: LauncherClient) -> None:
    replies = await asyncio.gather(*(client.call("node.sockets", count=20) for _ in range(30)))
    assert sum(len(reply.fds) for reply in replies) == 600
    for reply in replies:
        for fd in reply.fds:
            os.close(fd)
