"""The rules in a real kernel: a service's connections are shared out, refused, led back and outside."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from network_node import GATEWAY, UDP, Node, needs_node

from wherry.launcher.client import LauncherClient
from wherry.network import nftables
from wherry.network.kernel_sync import KernelSync
from wherry.network.nftables import NodeNetwork
from wherry.network.services import Backend, ServicePort, ServiceRecord

pytestmark = [needs_node, pytest.mark.root]
VIP = "10.96.0.50"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("run"))
    node.populate()
    try:
        yield node
    finally:
        node.kill()


@pytest.fixture
async def kernel(node: Node) -> AsyncIterator[KernelSync]:
    launcher = LauncherClient(node.run_directory / "launcher.sock")
    await launcher.connect()
    sync = KernelSync(launcher, NodeNetwork())
    await sync.rebuild({})
    yield sync
    launcher.close()


def service(
    *backends: str, protocol: str = "TCP", ip: str = VIP, node_port: int = 0, sticky: bool = False
) -> dict[str, ServiceRecord | None]:
    """A service whose port 80 leads to port 8080 of pods, or wherever `address:port` says."""
    targets = tuple(Backend(a, int(p or 8080)) for a, _, p in (b.partition(":") for b in backends))
    port = ServicePort("", protocol, 80, node_port, targets)
    return {"shop/web": ServiceRecord("shop", "web", cluster_ip=ip, sticky=sticky, ports=(port,))}


def answers(node: Node, ip: str, port: int, count: int, client: int = 2) -> Counter[str]:
    return Counter(node.pods[client].ask(ip, port).split()[0] for _ in range(count))


async def test_connections_are_shared_out_evenly(node: Node, kernel: KernelSync) -> None:
    await kernel.change(service("10.244.0.2", "10.244.0.3"))
    seen = answers(node, VIP, 80, 400)
    # Binomial(400, 1/2): six standard deviations are 60.
    assert sum(seen.values()) == 400
    assert abs(seen["two"] - 200) < 60


async def test_the_server_sees_the_pod_that_connected(node: Node, kernel: KernelSync) -> None:
    await kernel.change(service("10.244.0.2"))
    assert node.pods[2].ask(VIP, 80) == "two 10.244.0.4"


async def test_without_endpoints_a_connection_is_refused_at_once(node: Node, kernel: KernelSync) -> None:
    await kernel.change(service())
    with pytest.raises(ConnectionRefusedError):
        node.pods[2].connect(VIP, 80)


async def test_a_port_the_service_does_not_have_is_refused(node: Node, kernel: KernelSync) -> None:
    await kernel.change(service("10.244.0.2"))
    with pytest.raises(ConnectionRefusedError):
        node.pods[2].connect(VIP, 81)


async def test_datagrams_to_an_empty_service_are_refused(node: Node, kernel: KernelSync) -> None:
    await kernel.change(service(protocol="UDP"))
    with node.pods[2].connect(VIP, 80, UDP) as sock:
        sock.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            sock.recv(10)


async def test_an_open_connection_survives_every_update(node: Node, kernel: KernelSync) -> None:
    await kernel.change(service("10.244.0.2"))
    with node.pods[2].connect(VIP, 80) as sock:
        assert sock.recv(100).startswith(b"two")
        steps: list[dict[str, ServiceRecord | None]] = [service("10.244.0.3"), service(), {"shop/web": None}]
        for step in steps:
            await kernel.change(step)
            sock.sendall(b"still here")
            assert sock.recv(100) == b"still here"
        await kernel.rebuild({})
        sock.sendall(b"and here")
        assert sock.recv(100) == b"and here"


async def test_new_connections_follow_an_update(node: Node, kernel: KernelSync) -> None:
    await kernel.change(service("10.244.0.2"))
    await kernel.change(service("10.244.0.3"))
    assert answers(node, VIP, 80, 20) == {"three": 20}
    await kernel.change({"shop/web": None})
    with pytest.raises(OSError, match=r"unreachable|No route"):
        node.pods[2].connect(VIP, 80)


async def test_a_pod_reaches_itself_through_its_service(node: Node, kernel: KernelSync) -> None:
    await kernel.change(service("10.244.0.2"))
    assert node.pods[0].ask(VIP, 80) == f"two {GATEWAY}"


async def test_client_ip_affinity(node: Node, kernel: KernelSync) -> None:
    await kernel.change(service("10.244.0.2", "10.244.0.3", sticky=True))
    assert kernel.sticky
    for client in range(3):
        assert len(answers(node, VIP, 80, 20, client)) == 1


async def test_a_service_of_many_endpoints_uses_them_all(node: Node, kernel: KernelSync) -> None:
    await kernel.change(service(*_forty()))
    open_ports = [pod.serve(8080 + i, f"{pod.ip}:{i}") for pod in node.pods[:2] for i in range(1, 20)]
    try:
        assert len(answers(node, VIP, 80, 1000)) == 40  # P(miss one) = 40 * (1 - 1/42)**1000 < 1e-8
    finally:
        for server in open_ports:
            server.close()


async def test_node_port_inside_the_pod_network(node: Node, kernel: KernelSync) -> None:
    await kernel.change(service("10.244.0.2", node_port=30080))
    assert node.pods[2].ask(GATEWAY, 30080).startswith("two")


async def test_sockets_of_the_node_reach_services(node: Node, kernel: KernelSync) -> None:
    await kernel.change(service("10.244.0.3"))
    reply = await kernel._launcher.call("node.sockets", count=1)
    with socket.socket(fileno=reply.fds[0]) as sock:
        sock.settimeout(30)
        sock.connect((VIP, 80))
        assert sock.recv(100) == f"three {GATEWAY}".encode()


async def test_udp_clients_move_away_from_an_endpoint_that_is_gone(node: Node, kernel: KernelSync) -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(pod.make_socket(UDP)) for pod in node.pods[:2]]
        for server in servers:
            server.bind(("0.0.0.0", 8080))
        await kernel.change(service("10.244.0.2", protocol="UDP"))
        client = stack.enter_context(node.pods[2].connect(VIP, 80, UDP))
        client.send(b"one")
        data, sender = servers[0].recvfrom(100)
        assert (data, sender[0]) == (b"one", "10.244.0.4")
        servers[0].sendto(b"answer", sender)
        assert client.recv(100) == b"answer"
        await kernel.change(service("10.244.0.3", protocol="UDP"))
        client.send(b"two")
        assert servers[1].recv(100) == b"two"


async def test_datagrams_that_leave_the_pod_network_are_refused(node: Node, kernel: KernelSync) -> None:
    with node.pods[2].connect("192.0.2.1", 53, UDP) as sock:
        sock.send(b"hello")
        with pytest.raises(OSError, match="unreachable"):
            sock.recv(10)


async def test_a_second_agent_takes_over_without_a_gap(node: Node, kernel: KernelSync, tmp_path: Path) -> None:
    await kernel.change(service("10.244.0.2"))
    launcher = LauncherClient(node.run_directory / "launcher.sock")
    await launcher.connect()
    second = KernelSync(launcher, NodeNetwork())
    await second.rebuild({k: r for k, r in service("10.244.0.3").items() if r})
    assert answers(node, VIP, 80, 10) == {"three": 10}
    await second.change({"shop/web": None})
    launcher.close()


async def test_a_crash_in_the_middle_of_a_rebuild_is_healed(node: Node, kernel: KernelSync) -> None:
    """The generation that is not live is left half built; the live one serves on, the next rebuild wipes the other."""
    await kernel.change(service("10.244.0.2"))
    live = await kernel._live()
    other = next(generation for generation in nftables.GENERATIONS if generation != live)
    await kernel._transact(nftables.build(other, NodeNetwork())[:12])
    assert answers(node, VIP, 80, 5) == {"two": 5}
    for _ in range(3):
        await kernel.rebuild({k: r for k, r in service("10.244.0.3").items() if r})
        assert answers(node, VIP, 80, 5) == {"three": 5}


async def test_resyncs_and_moves_between_maps_refuse_nobody(node: Node, kernel: KernelSync) -> None:
    """Connections all the time, while rules are rebuilt and the service grows and shrinks across its maps."""
    few, many = (service(*[f"10.244.0.{n % 2 + 2}" for n in range(2)]), service(*_forty()))
    servers = [pod.serve(8080 + i, f"{pod.ip}:{i}") for pod in node.pods[:2] for i in range(1, 20)]
    sticky = service("10.244.0.2", sticky=True)
    await kernel.rebuild({k: r for k, r in few.items() if r})
    ended = threading.Event()

    def load() -> int:
        count = 0
        while not ended.is_set():
            node.pods[2].connect(VIP, 80).close()
            count += 1
        return count

    loading = [asyncio.ensure_future(asyncio.to_thread(load)) for _ in range(2)]
    for _ in range(20):
        for step in (many, few, sticky):
            await kernel.change(step)
        await kernel.rebuild({k: r for k, r in few.items() if r})
    ended.set()
    assert all(count > 0 for count in await asyncio.gather(*loading))
    for server in servers:
        server.close()


def _forty() -> list[str]:
    return [f"10.244.0.{i % 2 + 2}:{8080 + i // 2}" for i in range(40)]


async def test_hundreds_of_services_at_once(node: Node, kernel: KernelSync) -> None:
    records = {
        f"load/s{i}": ServiceRecord(
            "load", f"s{i}", cluster_ip=f"10.96.{i // 200 + 1}.{i % 200}",
            ports=(ServicePort("", "TCP", 80, 0, (Backend("10.244.0.2", 8080),)),),
        )
        for i in range(500)
    }  # fmt: skip
    await kernel.rebuild(records)
    assert node.pods[2].ask("10.96.3.99", 80).startswith("two")
