"""Latency and loss between pods, as the launcher really makes their network, in both tiers with namespaces."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from network_node import UDP, Netd, Node, Server, connected, inside

from wherry.aio.clock import RealClock
from wherry.chaos import kept
from wherry.chaos.faults import NETWORK, Fault
from wherry.launcher.client import LauncherClient
from wherry.network.kernel_sync import KernelSync
from wherry.network.netd_control import ask_netd
from wherry.network.nftables import NodeNetwork
from wherry.network.services import Backend, ServicePort, ServiceRecord

TIERS = ["ns-root", "ns-user"] if os.geteuid() == 0 else ["ns-user"]
pytestmark = pytest.mark.skipif(
    subprocess.run(["unshare", "-Ur", "-n", "-m", "true"], capture_output=True).returncode != 0,
    reason="user namespaces are not allowed here",
)
WEB, CLIENT, OTHER = "10.244.0.2", "10.244.0.3", "10.244.0.4"
SERVICE = "10.96.0.50"
BACKEND = (Backend(WEB, 8080),)
RECORD = ServiceRecord(
    "shop", "web", cluster_ip=SERVICE,
    ports=(ServicePort("", "TCP", 80, 0, BACKEND), ServicePort("", "UDP", 80, 0, BACKEND)),
)  # fmt: skip
CLOCK = RealClock()


class World:
    """Three pods, a Service of the first, and netd."""

    def __init__(self, directory: Path, node: Node, launcher: LauncherClient, netd: Netd) -> None:
        self.directory, self.launcher, self.netd = directory, launcher, netd
        self._node = node
        self._init: dict[str, int] = {}

    async def add(self, ip: str) -> None:
        id_ = f"{int(ip.rpartition('.')[2]):08x}" * 4
        config = {
            "uid": id_, "name": ip, "namespace": "shop", "hostname": "p", "ip": ip, "attempt": 0, "labels": {},
            "log_directory": str(self.directory / id_ / "logs"), "directory": str(self.directory / id_),
            "host_network": False, "share_process_namespace": False, "host_ipc": False, "sysctls": {}, "memory_volumes": {},
            "resources": {"cpu_request": None, "cpu_limit": None, "memory_limit": None, "pids_limit": None},
        }  # fmt: skip
        before = self._inits()
        await self.launcher.call("sandbox.run", id=id_, config=config)
        (self._init[ip],) = self._inits() - before

    def _inits(self) -> set[int]:
        pid = self._node.inner
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    async def stream(self, ip: str) -> socket.socket:
        id_ = f"{int(ip.rpartition('.')[2]):08x}" * 4
        sock = socket.socket(fileno=(await self.launcher.call("sandbox.socket", id=id_)).fds[0])
        sock.settimeout(30)
        return sock

    def datagrams(self, ip: str) -> socket.socket:
        """Needs root: the launcher gives TCP sockets only."""
        with open(f"/proc/{self._init[ip]}/ns/net") as network, inside(network.fileno()):
            sock = socket.socket(socket.AF_INET, UDP)
        sock.settimeout(30)
        return sock

    async def round_trip(self, source: str, target: str = WEB, port: int = 8080) -> float:
        """Seconds from sending to the answer, over a connection that stands."""
        with await self.stream(source) as sock:
            await asyncio.to_thread(sock.connect, (target, port))
            await asyncio.to_thread(sock.recv, 100)
            began = CLOCK.monotonic()
            sock.sendall(b"x")
            assert await asyncio.to_thread(sock.recv, 1) == b"x"
            return CLOCK.monotonic() - began

    async def is_quick(self, source: str, target: str = WEB, port: int = 8080) -> bool:
        """Whether one of several is quicker than any that is held can be: the machine may be busy."""
        for _ in range(20):
            if await self.round_trip(source, target, port) < 0.1:
                return True
        return False

    async def arrives(self, data: bytes, client: socket.socket, server: socket.socket) -> None:
        """One datagram in several packets, whole; a busy kernel may lose one of them, and with it all."""
        server.settimeout(1)
        for _ in range(10):
            client.send(data)
            with suppress(TimeoutError):
                assert await asyncio.to_thread(server.recv, 2 * len(data)) == data
                return
        pytest.fail(f"none of {len(data)} bytes arrived")

    @contextmanager
    def fault(self, sources: str, targets: str, seed: int = 0, **what: float) -> Iterator[Fault]:
        """Made when the block begins, and undone when it has ended."""
        ends = {"from": sources.split(), "to": targets.split()}
        fault = Fault(kept.new_name(NETWORK), NETWORK, {}, what, seed=seed, ends=ends)
        self.renew(fault)
        try:
            yield fault
        finally:
            kept.end(self.directory / "chaos", fault)
            self.until(fault, False)

    def renew(self, fault: Fault) -> None:
        kept.renew(self.directory / "chaos", fault, CLOCK.time() + 60)
        ask_netd(self.directory / "netd.sock", "faults")
        self.until(fault, True)

    def until(self, fault: Fault, made: bool) -> None:
        while (fault.name in (answer := ask_netd(self.directory / "netd.sock", "status")).made) is not made:
            assert answer.refused == {}
            time.sleep(0.01)


@pytest.fixture(params=TIERS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    node = Node(tmp_path, request.param)
    launcher = LauncherClient(tmp_path / "launcher.sock")
    await launcher.connect()
    netd = Netd(node.run_directory)
    control, reader = await connected(tmp_path)
    await KernelSync(launcher, NodeNetwork()).rebuild({RECORD.key: RECORD})
    world = World(tmp_path, node, launcher, netd)
    for ip in (WEB, CLIENT, OTHER):
        await world.add(ip)
    listener = await world.stream(WEB)
    listener.bind(("0.0.0.0", 8080))
    listener.listen(16)
    server = Server(listener, "web")
    try:
        yield world
    finally:
        server.close()
        launcher.close()
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        control.close()
        netd.kill()
        node.kill()


async def test_packets_of_those_chosen_take_as_long_as_was_asked(world: World) -> None:
    with world.fault(CLIENT, WEB, delay=0.15, jitter=0.05):
        assert await world.round_trip(CLIENT) >= 0.1
        assert await world.round_trip(CLIENT, SERVICE, 80) >= 0.1, "through its Service too"
        assert await world.is_quick(OTHER), "nobody else"
    with world.fault(CLIENT, WEB, delay=0.1, both=1):
        assert await world.round_trip(CLIENT) >= 0.2, "there and back"
    with world.fault(f"{WEB} {CLIENT}", f"{WEB} {CLIENT}", delay=0.1):
        assert await world.round_trip(CLIENT) >= 0.2, "each to each"
        await world.round_trip(WEB, SERVICE, 80)  # a pod that is led to itself
    assert await world.is_quick(CLIENT)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="entering a pod's network needs root")
async def test_datagrams_are_lost_as_the_seed_says(world: World) -> None:
    with world.datagrams(WEB) as server, world.datagrams(CLIENT) as client:
        server.bind(("0.0.0.0", 8080))
        client.connect((SERVICE, 80))
        for seed in (9, 10):  # the last one arrives: nothing is on its way when the fault ends
            chance = random.Random(seed)
            with world.fault(CLIENT, WEB, seed, loss=0.3):
                for first in range(0, 100, 10):  # as few wait as any buffer holds
                    for number in range(first, first + 10):
                        client.send(bytes([number]))
                    expected = [number for number in range(first, first + 10) if chance.random() >= 0.3]
                    assert [server.recv(10)[0] for _ in expected] == expected
        client.send(b"\xff")
        assert server.recv(10) == b"\xff", "and no more came before"
        with world.fault(CLIENT, WEB, delay=0.01):
            await world.arrives(bytes(range(256)) * 40, client, server)


async def test_a_partition(world: World) -> None:
    with world.fault(CLIENT, WEB, loss=1.0):
        with await world.stream(CLIENT) as sock:
            sock.settimeout(0.5)
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(sock.connect, (WEB, 8080))
        await world.round_trip(OTHER)
    await world.round_trip(CLIENT)


async def test_bulk_arrives_whole_and_in_order(world: World) -> None:
    payload = random.Random(1).randbytes(4_000_000)
    with world.fault(CLIENT, WEB, delay=0.005, jitter=0.005), await world.stream(CLIENT) as sock:
        await asyncio.to_thread(sock.connect, (SERVICE, 80))
        await asyncio.to_thread(sock.recv, 100)

        def send() -> None:
            sock.sendall(payload)
            sock.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        received = bytearray()
        while data := await asyncio.to_thread(sock.recv, 1 << 16):
            received += data
        sender.join()
    assert received == payload + b"bye"


async def test_a_pod_that_comes_later_and_a_netd_that_was_killed(world: World) -> None:
    with world.fault(CLIENT, WEB, delay=0.1) as fault:
        await world.add("10.244.0.9")
        later = Fault(fault.name, NETWORK, {}, {"delay": 0.1}, ends={"from": [CLIENT, "10.244.0.9"], "to": [WEB]})
        world.renew(later)
        while await world.round_trip("10.244.0.9") < 0.1:
            await asyncio.sleep(0.05)
        world.netd.kill()
        world.netd.start()
        _, reader = await connected(world.directory)
        reader.cancel()
        world.renew(later)
        assert await world.round_trip(CLIENT) >= 0.1
    world.netd.kill()
    assert await world.is_quick(CLIENT)


async def test_what_a_killed_netd_left_is_removed_by_the_next(world: World) -> None:
    with world.fault(CLIENT, WEB, loss=1.0) as fault:
        world.netd.kill()
        kept.end(world.directory / "chaos", fault)
        world.netd.start()
        _, reader = await connected(world.directory)
        reader.cancel()
        await world.round_trip(CLIENT)
