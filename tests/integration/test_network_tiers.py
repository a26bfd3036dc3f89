"""The pod network as the launcher really makes it, in both tiers: sandboxes, services, names, node ports, egress."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from network_node import GATEWAY, Netd, Node, Server, connected

from wherry.launcher.client import LauncherClient
from wherry.network import dns_wire as wire
from wherry.network.kernel_sync import KernelSync
from wherry.network.nftables import NodeNetwork
from wherry.network.services import Backend, ServicePort, ServiceRecord

TIERS = ["ns-root", "ns-user"] if os.geteuid() == 0 else ["ns-user"]
needs_user_namespaces = pytest.mark.skipif(
    subprocess.run(["unshare", "-Ur", "-n", "-m", "true"], capture_output=True).returncode != 0,
    reason="user namespaces are not allowed here",
)
pytestmark = needs_user_namespaces
NODE_PORT = 29873
"""See test_network_netd.py, which has those below."""
RECORD = ServiceRecord(
    "shop", "web", cluster_ip="10.96.0.50",
    ports=(ServicePort("", "TCP", 80, NODE_PORT, (Backend("10.244.0.2", 8080),)),),
)  # fmt: skip


@pytest.fixture(params=TIERS)
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path, request.param)
    yield node
    node.kill()


async def _sandbox(launcher: LauncherClient, directory: Path, number: int) -> str:
    id_ = f"{number:08x}" * 4
    config = {
        "uid": id_, "name": f"p{number}", "namespace": "shop", "hostname": "p", "ip": f"10.244.0.{number}", "attempt": 0,
        "log_directory": str(directory / id_ / "logs"), "directory": str(directory / id_), "host_network": False,
        "share_process_namespace": False, "host_ipc": False, "sysctls": {}, "labels": {}, "memory_volumes": {},
        "resources": {"cpu_request": None, "cpu_limit": None, "memory_limit": None, "pids_limit": None},
    }  # fmt: skip
    await launcher.call("sandbox.run", id=id_, config=config)
    return id_


async def _socket(launcher: LauncherClient, sandbox: str) -> socket.socket:
    sock = socket.socket(fileno=(await launcher.call("sandbox.socket", id=sandbox)).fds[0])
    sock.settimeout(30)
    return sock


async def _ask(launcher: LauncherClient, sandbox: str, ip: str, port: int) -> str:
    """What the server there says first."""
    with await _socket(launcher, sandbox) as sock:
        await asyncio.to_thread(sock.connect, (ip, port))
        return (await asyncio.to_thread(sock.recv, 100)).decode()


async def test_everything_a_pod_can_reach(node: Node, tmp_path: Path) -> None:
    launcher = LauncherClient(tmp_path / "launcher.sock")
    await launcher.connect()
    netd = Netd(node.run_directory)
    control, reader = await connected(tmp_path)
    kernel = KernelSync(launcher, NodeNetwork())
    await kernel.rebuild({RECORD.key: RECORD})
    await control.replace({RECORD.key: RECORD}, ("shop",))
    web, client = [await _sandbox(launcher, tmp_path, number) for number in (2, 3)]
    listener = await _socket(launcher, web)
    listener.bind(("0.0.0.0", 8080))
    listener.listen(16)
    servers = [Server(listener, "web"), Server(socket.create_server(("127.0.0.1", 0)), "machine")]
    try:
        assert await _ask(launcher, client, "10.244.0.2", 8080) == "web 10.244.0.3"
        assert await _ask(launcher, client, "10.96.0.50", 80) == "web 10.244.0.3"
        assert await _ask(launcher, web, "10.96.0.50", 80) == f"web {GATEWAY}"
        assert await _ask(launcher, client, GATEWAY, NODE_PORT) == "web 10.244.0.3"
        assert await _ask(launcher, client, GATEWAY, servers[1]._sock.getsockname()[1]) == "machine 127.0.0.1"
        with await asyncio.to_thread(socket.create_connection, ("127.0.0.1", NODE_PORT), 30) as sock:
            assert await asyncio.to_thread(sock.recv, 100) == f"web {GATEWAY}".encode()
        with pytest.raises(ConnectionRefusedError):
            await _ask(launcher, client, "10.96.0.50", 81)
        question = wire.Question(wire.name("web.shop.svc.cluster.local"), wire.A)
        query = wire.encode(wire.Message(7, wire.RD, [question]))
        with await _socket(launcher, client) as sock:
            await asyncio.to_thread(sock.connect, ("10.96.0.10", 53))
            sock.sendall(struct.pack(">H", len(query)) + query)
            answer = wire.decode((await asyncio.to_thread(sock.recv, 4096))[2:])
        assert [socket.inet_ntoa(record.data) for record in answer.answers] == ["10.96.0.50"]
    finally:
        for server in servers:
            server.close()
        launcher.close()
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        control.close()
        netd.kill()
