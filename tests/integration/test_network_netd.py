"""netd as a process beside a real node network: names, node ports, egress, and `kill -9` with connections open."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from network_node import GATEWAY, UDP, Netd, Node, Pod, Server, connected, needs_node

from wherry.launcher.client import LauncherClient
from wherry.network import dns_wire as wire
from wherry.network.dns_wire import Message, Question
from wherry.network.kernel_sync import KernelSync
from wherry.network.netd_control import ControlClient
from wherry.network.nftables import NodeNetwork
from wherry.network.nodeport import PREFIX
from wherry.network.services import Backend, EndpointName, ServicePort, ServiceRecord

pytestmark = [needs_node, pytest.mark.root]
DNS = ("10.96.0.10", 53)
NODE_PORT = 29871
"""Neither one that a Service of another test may be given, nor an ephemeral one; test_network_tiers.py has the next but one."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("run"))
    node.populate()
    try:
        yield node
    finally:
        node.kill()


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Path]:
    """A resolver of the machine that says 192.0.2.7 to everything but `nowhere.example`; the path of its resolv.conf."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.53", 53))

    def serve() -> None:
        while True:
            data, client = sock.recvfrom(4096)
            if not data:
                return
            query = wire.decode(data)
            name = query.questions[0].name
            known = name != (b"nowhere", b"example")
            answers = [wire.Record(name, wire.A, 60, socket.inet_aton("192.0.2.7"))] if known else []
            flags = wire.QR | wire.RA | (wire.NOERROR if known else wire.NXDOMAIN)
            sock.sendto(wire.encode(Message(query.id, flags, query.questions, answers)), client)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.53\n")
    yield path
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bell:
        bell.sendto(b"", ("127.0.0.53", 53))
    thread.join()
    sock.close()


@pytest.fixture
def netd(node: Node, upstream: Path) -> Iterator[Netd]:
    netd = Netd(node.run_directory, upstream)
    yield netd
    netd.kill()


@pytest.fixture
async def control(node: Node, netd: Netd) -> AsyncIterator[ControlClient]:
    client, reader = await connected(node.run_directory)
    assert (await client.replace(SERVICES, ("default", "shop"))).failures == {}
    yield client
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)


@pytest.fixture
async def kernel(node: Node) -> AsyncIterator[KernelSync]:
    launcher = LauncherClient(node.run_directory / "launcher.sock")
    await launcher.connect()
    kernel = KernelSync(launcher, NodeNetwork())
    await kernel.rebuild(SERVICES)
    yield kernel
    launcher.close()


BACKENDS = (Backend("10.244.0.2", 8080), Backend("10.244.0.3", 8080))
SERVICES = {
    "shop/web": ServiceRecord(
        "shop", "web", cluster_ip="10.96.0.50", ports=(ServicePort("http", "TCP", 80, NODE_PORT, BACKENDS),)
    ),
    "shop/db": ServiceRecord(
        "shop", "db", headless=True,
        endpoints=tuple(EndpointName(f"db-{i}", f"10.244.0.{i + 2}", (("sql", "TCP", 5432),)) for i in range(2)),
    ),
    "shop/many": ServiceRecord(
        "shop", "many", headless=True,
        endpoints=tuple(EndpointName(f"pod-{i}", f"10.244.3.{i}", (("", "TCP", 1),)) for i in range(100)),
    ),
    "shop/out": ServiceRecord("shop", "out", external_name="www.example.com"),
}  # fmt: skip


def look_up(pod: Pod, name: str, kind: int = wire.A, tcp: bool = False, edns: bool = True) -> Message:
    query = wire.encode(
        Message(77, wire.RD, [Question(wire.name(name), kind)], additionals=[wire.opt(1232)] if edns else [])
    )
    with pod.connect(*DNS, *([] if tcp else [UDP])) as sock:
        if not tcp:
            sock.send(query)
            return wire.decode(sock.recv(4096))
        sock.sendall(struct.pack(">H", len(query)) + query)
        with sock.makefile("rb") as stream:
            return wire.decode(stream.read(struct.unpack(">H", stream.read(2))[0]))


def addresses(message: Message) -> set[str]:
    return {socket.inet_ntoa(record.data) for record in message.answers if record.type == wire.A}


# --- names ----------------------------------------------------------------------------------------------------------------


async def test_services_have_names(node: Node, control: ControlClient) -> None:
    pod = node.pods[2]
    for tcp in (False, True):
        assert addresses(look_up(pod, "web.shop.svc.cluster.local", tcp=tcp)) == {"10.96.0.50"}
        assert addresses(look_up(pod, "db.shop.svc.cluster.local", tcp=tcp)) == {"10.244.0.2", "10.244.0.3"}
        assert addresses(look_up(pod, "db-1.db.shop.svc.cluster.local", tcp=tcp)) == {"10.244.0.3"}
        assert look_up(pod, "nobody.shop.svc.cluster.local", tcp=tcp).rcode == wire.NXDOMAIN
        assert addresses(look_up(pod, "host.wherry.internal", tcp=tcp)) == {GATEWAY}


async def test_the_c_library_resolves_in_a_pod(node: Node, control: ControlClient, tmp_path: Path) -> None:
    """With the pod's resolv.conf and nothing of ours in between."""
    conf = tmp_path / "pod-resolv.conf"
    conf.write_text(
        "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
    )
    script = (
        "import socket; print(socket.getaddrinfo('web', 80, socket.AF_INET, socket.SOCK_STREAM)[0][4][0],"
        "socket.getaddrinfo('www.example.com', 80, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])"
    )
    process = await asyncio.create_subprocess_exec(
        "nsenter", "-t", str(node.pods[2].process.pid), "-n", "unshare", "-m", "sh", "-c",
        f"mount --bind {conf} /etc/resolv.conf && exec python3 -c \"{script}\"",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert (await process.communicate())[0].split() == [b"10.96.0.50", b"192.0.2.7"]


async def test_the_world_is_asked_of_the_machine(node: Node, control: ControlClient) -> None:
    pod = node.pods[2]
    assert addresses(look_up(pod, "www.example.com")) == {"192.0.2.7"}
    assert look_up(pod, "nowhere.example").rcode == wire.NXDOMAIN
    answer = look_up(pod, "out.shop.svc.cluster.local")
    assert [record.type for record in answer.answers] == [wire.CNAME, wire.A]
    assert addresses(answer) == {"192.0.2.7"}


async def test_long_answers_are_cut_and_come_whole_by_tcp(node: Node, control: ControlClient) -> None:
    pod = node.pods[2]
    short = look_up(pod, "many.shop.svc.cluster.local", edns=False)
    assert short.flags & wire.TC
    assert 0 < len(addresses(short)) < 100
    assert len(addresses(look_up(pod, "many.shop.svc.cluster.local", tcp=True))) == 100


async def test_without_a_resolver_the_failure_says_why(
    node: Node, netd: Netd, control: ControlClient, upstream: Path
) -> None:
    upstream.write_text("# nothing\n")
    answer = look_up(node.pods[2], "other.example.com")
    assert answer.rcode == wire.SERVFAIL
    assert answer.edns is not None
    assert b"names no resolver" in answer.edns.data


async def test_every_address_of_a_headless_service_comes_first_in_turn(node: Node, control: ControlClient) -> None:
    firsts = Counter(look_up(node.pods[2], "db.shop.svc.cluster.local").answers[0].data for _ in range(10))
    assert sorted(firsts.values()) == [5, 5]


# --- node ports -----------------------------------------------------------------------------------------------------------


def dial(port: int = NODE_PORT, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((host, port), timeout=30)


def hello(sock: socket.socket) -> str:
    return sock.recv(100).decode().split()[0]


async def test_a_node_port_leads_to_the_pods(node: Node, control: ControlClient) -> None:
    seen: Counter[str] = Counter()
    for _ in range(60):
        with dial() as sock:
            seen[hello(sock)] += 1
    assert set(seen) == {"two", "three"}


async def test_bytes_and_the_end_of_them_pass_both_ways(node: Node, control: ControlClient) -> None:
    payload = bytes(range(256)) * 20_000
    with dial() as sock:
        hello(sock)
        sender = threading.Thread(target=lambda: (sock.sendall(payload), sock.shutdown(socket.SHUT_WR)))
        sender.start()
        received = b""
        while data := await asyncio.to_thread(sock.recv, 1 << 16):
            received += data
        sender.join()
    assert received == payload + b"bye"


async def test_an_endpoint_that_refuses_is_passed_over(node: Node, control: ControlClient) -> None:
    port = ServicePort("http", "TCP", 80, NODE_PORT, (Backend("10.244.0.2", 1), Backend("10.244.0.3", 8080)))
    await control.change({"shop/web": ServiceRecord("shop", "web", ports=(port,))})
    for _ in range(20):
        with dial() as sock:
            assert hello(sock) == "three"


async def test_without_endpoints_a_node_port_resets(node: Node, control: ControlClient) -> None:
    await control.change({"shop/web": ServiceRecord("shop", "web", ports=(ServicePort("", "TCP", 80, NODE_PORT),))})
    with pytest.raises(ConnectionResetError), dial() as sock:  # at once, or at the first read
        sock.recv(1)
    await control.change({"shop/web": None})
    with pytest.raises(ConnectionRefusedError):
        dial()


async def test_a_taken_node_port_is_reported(node: Node, control: ControlClient) -> None:
    with socket.create_server(("127.0.0.1", NODE_PORT + 1)):
        port = ServicePort("", "TCP", 80, NODE_PORT + 1, BACKENDS)
        answer = await control.change({"shop/other": ServiceRecord("shop", "other", ports=(port,))})
    assert "Address already in use" in answer.failures[str(NODE_PORT + 1)]


# --- egress ---------------------------------------------------------------------------------------------------------------


async def test_pods_reach_the_machine_and_its_localhost(node: Node, control: ControlClient, kernel: KernelSync) -> None:
    server = Server(socket.create_server(("127.0.0.1", 0)), "machine")
    port = server._sock.getsockname()[1]
    with await asyncio.to_thread(node.pods[2].connect, GATEWAY, port) as sock:
        assert await asyncio.to_thread(sock.recv, 100) == b"machine 127.0.0.1"
    server.close()


async def test_the_api_servers_port_of_the_gateway_is_not_the_machines(
    node: Node, control: ControlClient, kernel: KernelSync
) -> None:
    launcher = kernel._launcher
    reply = await launcher.call("node.socket", family="inet", type="tcp", bind=[GATEWAY, 6443], backlog=5)
    server = Server(socket.socket(fileno=reply.fds[0]), "api")
    assert await asyncio.to_thread(node.pods[2].ask, GATEWAY, 6443) == "api 10.244.0.4"
    server.close()


async def test_a_service_with_an_endpoint_outside(node: Node, control: ControlClient, kernel: KernelSync) -> None:
    server = Server(socket.create_server(("127.0.0.9", 0)), "outside")
    backend = Backend("127.0.0.9", server._sock.getsockname()[1])
    record = ServiceRecord("shop", "ext", cluster_ip="10.96.0.60", ports=(ServicePort("", "TCP", 80, 0, (backend,)),))
    await control.change({"shop/ext": record})
    await kernel.change({"shop/ext": record})
    with await asyncio.to_thread(node.pods[2].connect, "10.96.0.60", 80) as sock:
        assert (await asyncio.to_thread(sock.recv, 100)).startswith(b"outside")
    server.close()


async def test_what_cannot_be_reached_is_reset(node: Node, control: ControlClient, kernel: KernelSync) -> None:
    with pytest.raises(ConnectionResetError):  # at once, or at the first read
        await asyncio.to_thread(node.pods[2].ask, GATEWAY, 1)


# --- kill -9 --------------------------------------------------------------------------------------------------------------


async def test_kill_9_of_netd_cuts_nothing(node: Node, netd: Netd, control: ControlClient, kernel: KernelSync) -> None:
    server = Server(socket.create_server(("127.0.0.1", 0)), "machine")
    out = await asyncio.to_thread(node.pods[2].connect, GATEWAY, server._sock.getsockname()[1])
    await asyncio.to_thread(out.recv, 100)
    connections = [dial() for _ in range(30)]
    for sock in connections:
        hello(sock)
    flood = dial()
    hello(flood)
    payload = bytes(range(256)) * 4000
    flood.setblocking(False)
    sent = 0
    while True:  # until both pipes and every buffer on the way are full, since nobody reads the echo
        try:
            sent += flood.send(payload[sent % len(payload) :])
        except BlockingIOError:
            break
    await asyncio.sleep(0.2)

    netd.kill()
    with dial() as early:  # nobody is there to accept it: it waits
        netd.start()
        assert await asyncio.to_thread(hello, early) in ("two", "three")
    for sock in connections:
        sock.sendall(b"still here")
        assert await asyncio.to_thread(sock.recv, 100) == b"still here"
        sock.close()
    out.sendall(b"and out")
    assert await asyncio.to_thread(out.recv, 100) == b"and out"
    out.close()
    flood.settimeout(30)
    flood.shutdown(socket.SHUT_WR)
    echoed = b""
    while data := await asyncio.to_thread(flood.recv, 1 << 20):
        echoed += data
    assert len(echoed) == sent + 3
    assert echoed[: len(payload)] == payload[: len(echoed) - 3]
    flood.close()
    assert addresses(look_up(node.pods[2], "web.shop.svc.cluster.local")) == {"10.96.0.50"}
    server.close()

    # Nothing is kept for connections that are over.
    fresh, reader = await connected(node.run_directory)
    launcher = LauncherClient(node.run_directory / "launcher.sock")
    await launcher.connect()
    async with asyncio.timeout(30):
        while (await launcher.call("fds.list", prefix="relay/")).args["names"]:
            await asyncio.sleep(0.02)
    launcher.close()
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    fresh.close()


async def test_a_listener_that_was_ended_is_not_taken_over(node: Node, netd: Netd, control: ControlClient) -> None:
    """As one is kept when netd is killed right after it gave a node port up: it would refuse everybody for ever."""
    async with asyncio.timeout(30):
        while not (node.run_directory / "netd.json").exists():  # what the next one begins with
            await asyncio.sleep(0.01)
    netd.kill()
    launcher = LauncherClient(node.run_directory / "launcher.sock")
    await launcher.connect()
    name = f"{PREFIX}127.0.0.1/{NODE_PORT}"
    await launcher.call("fds.drop", names=[name])
    with socket.socket() as ended:
        ended.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ended.bind(("127.0.0.1", NODE_PORT))
        ended.listen()
        ended.shutdown(socket.SHUT_RDWR)
        await launcher.call("fds.put", [ended.fileno()], name=name)
    netd.start()
    fresh, reader = await connected(node.run_directory)
    with dial() as sock:
        assert await asyncio.to_thread(hello, sock) in ("two", "three")
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    fresh.close()
    launcher.close()


async def test_a_new_launcher_brings_a_new_session(node: Node, control: ControlClient) -> None:
    with dial() as sock:
        hello(sock)
        node.kill()
        with pytest.raises(ConnectionResetError):
            await asyncio.to_thread(sock.recv, 1)
    node.start()
    node.populate()
    with dial() as sock:
        assert await asyncio.to_thread(hello, sock) in ("two", "three")
    assert addresses(look_up(node.pods[2], "web.shop.svc.cluster.local")) == {"10.96.0.50"}
