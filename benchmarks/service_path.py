"""What a Service costs: pod to pod directly, through its cluster address, and from the machine through its node port.

    python -m benchmarks.service_path [--tier ns-root|ns-user] [--seconds 1.0]

Real namespaces made by the real launcher, real rules, netd as its own process; the server is one small process per pod,
the client is this one. Paths are measured in turns, so that other load on the machine meets all of them; each has a
client pod of its own, because ports re-used between them would meet each other's TIME_WAIT.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wherry.launcher.client import LauncherClient
from wherry.network.kernel_sync import KernelSync
from wherry.network.netd_control import ControlClient, Request
from wherry.network.nftables import NodeNetwork
from wherry.network.services import Backend, ServicePort, ServiceRecord

NODE_PORT = 30999
PORT = 8080
VIP = "10.96.0.50"
ROUNDS = 5
DEPTH = 16
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

_SERVER = """
import select, socket, sys
listener = socket.socket(fileno=int(sys.argv[1])); listener.setblocking(False)
answer = bytes.fromhex(sys.argv[2]); poll = select.epoll(); poll.register(listener, select.EPOLLIN); clients = {}
bulk = bytes(1 << 20)
while True:
    for fd, _ in poll.poll():
        if fd == listener.fileno():
            try:
                while True:
                    client, _ = listener.accept()
                    clients[client.fileno()] = client; poll.register(client, select.EPOLLIN)
            except BlockingIOError:
                continue
        client = clients[fd]
        try:
            data = client.recv(65536)
        except OSError:
            data = b""
        if data.startswith(b"BULK"):
            poll.unregister(fd); del clients[fd]
            for _ in range(int(data[4:])):
                client.sendall(bulk)
            client.close()
        elif data:
            client.sendall(answer * data.count(b"\\r\\n\\r\\n"))
        else:
            poll.unregister(fd); del clients[fd]; client.close()
"""
_NETD = """
import asyncio, random, sys
from pathlib import Path
from wherry.aio.clock import RealClock
from wherry.network import netd
options = netd.NetdOptions(Path(sys.argv[1]), node_port_addresses=("127.0.0.1",))
asyncio.run(netd.run(options, RealClock(), random.Random(1)))
"""


@dataclass
class Way:
    """One way to the server: where to connect, and with which sockets."""

    name: str
    address: tuple[str, int]
    sockets: list[socket.socket]
    round_trips: list[float] = field(default_factory=list)
    keep_alive: list[float] = field(default_factory=list)
    connects: list[float] = field(default_factory=list)
    bulk: list[float] = field(default_factory=list)

    def connect(self) -> socket.socket:
        sock = self.sockets.pop()
        sock.setblocking(True)
        sock.settimeout(10)
        sock.connect(self.address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


# --- one measurement each -------------------------------------------------------------------------------------------------


def round_trip(way: Way, seconds: float) -> float:
    """Median microseconds of a request and its answer on one connection."""
    times = []
    with way.connect() as sock:
        end = time.perf_counter() + seconds
        while (before := time.perf_counter()) < end:
            sock.sendall(REQUEST)
            sock.recv(4096)
            times.append(time.perf_counter() - before)
    return statistics.median(times) * 1e6


def keep_alive(way: Way, seconds: float) -> float:
    """Requests per second on 16 connections that stay open."""
    socks = [way.connect() for _ in range(DEPTH)]
    poll = select.epoll()
    by_fd = {sock.fileno(): sock for sock in socks}
    count = 0
    for sock in socks:
        poll.register(sock, select.EPOLLIN)
        sock.sendall(REQUEST)
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for fd, _ in poll.poll():
            by_fd[fd].recv(4096)
            by_fd[fd].sendall(REQUEST)
            count += 1
    elapsed = time.perf_counter() - began
    poll.close()
    for sock in socks:
        sock.close()
    return count / elapsed


def connects(way: Way, count: int) -> float:
    """Requests per second when each has a connection of its own."""
    began = time.perf_counter()
    for _ in range(count):
        with way.connect() as sock:
            sock.sendall(REQUEST)
            sock.recv(4096)
    return count / (time.perf_counter() - began)


def bulk(way: Way, megabytes: int) -> float:
    """Gbit/s of one stream."""
    buffer = bytearray(1 << 20)
    with way.connect() as sock:
        sock.sendall(b"BULK%d" % megabytes)
        began, received = time.perf_counter(), 0
        while size := sock.recv_into(buffer):
            received += size
    return received * 8 / (time.perf_counter() - began) / 1e9


# --- the stage ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def process(arguments: list[str], fds: tuple[int, ...] = ()) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, *arguments], pass_fds=fds)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


async def eventually(attempt: Callable[[], object]) -> None:
    """Until it raises no OSError (any more)."""
    for _ in range(1000):
        try:
            result = attempt()
            if asyncio.iscoroutine(result):
                await result
        except OSError:
            await asyncio.sleep(0.01)
        else:
            return
    raise TimeoutError("the stage is not up after 10 s")


async def sandbox(launcher: LauncherClient, directory: Path, ip: str) -> str:
    id_ = ip.replace(".", "").rjust(16, "0")[::-1]
    await launcher.call(
        "sandbox.run", id=id_,
        config={
            "uid": id_, "name": id_, "namespace": "bench", "hostname": "bench", "ip": ip, "attempt": 0, "labels": {},
            "log_directory": str(directory / id_ / "logs"), "directory": str(directory / id_), "host_network": False,
            "share_process_namespace": False, "host_ipc": False, "sysctls": {}, "memory_volumes": {},
            "resources": {"cpu_request": None, "cpu_limit": None, "memory_limit": None, "pids_limit": None},
        },
    )  # fmt: skip
    return id_


@contextlib.asynccontextmanager
async def stage(tier: str) -> AsyncIterator[tuple[LauncherClient, Path, ControlClient]]:
    """A launcher, netd, and their sockets in a folder that goes away."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        stack.enter_context(process([
            "-m", "wherry.launcher", "--socket", f"{name}/launcher.sock", "--tier", tier, "--state", name, "--no-cgroups",
            "--local-address", "10.96.0.1", "--local-address", "10.96.0.10",
        ]))  # fmt: skip
        stack.enter_context(process(["-c", _NETD, name]))
        launcher = LauncherClient(directory / "launcher.sock")
        await eventually(launcher.connect)
        control = ControlClient(directory / "netd.sock")
        await eventually(control.connect)
        reader = asyncio.ensure_future(control.run())
        while not (await control.ask(Request("status"))).statistics["launcher"]:
            await asyncio.sleep(0.01)
        try:
            yield launcher, directory, control
        finally:
            launcher.close()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


async def fill(launcher: LauncherClient, way: Way, sandbox_id: str, count: int) -> None:
    """Enough fresh sockets for the next measurement."""
    while len(way.sockets) < count:
        if sandbox_id == "host":
            way.sockets.append(socket.socket())
        else:
            reply = await launcher.call("sandbox.socket", id=sandbox_id)
            way.sockets.append(socket.socket(fileno=reply.fds[0]))


async def measure(tier: str, seconds: float) -> tuple[list[Way], list[float]]:
    """Every way, with the medians of its rounds to come, and the sorted seconds of rule updates."""
    async with stage(tier) as (launcher, directory, control):
        server = await sandbox(launcher, directory, "10.244.0.10")
        listener = socket.socket(fileno=(await launcher.call("sandbox.socket", id=server)).fds[0])
        listener.bind(("0.0.0.0", PORT))
        listener.listen(1024)
        record = ServiceRecord(
            "bench", "web", cluster_ip=VIP,
            ports=(ServicePort("", "TCP", 80, NODE_PORT, (Backend("10.244.0.10", PORT),)),),
        )  # fmt: skip
        kernel = KernelSync(launcher, NodeNetwork())
        await kernel.rebuild({record.key: record})
        await control.replace({record.key: record}, ("bench",))
        ways = [
            (Way("pod -> pod", ("10.244.0.10", PORT), []), await sandbox(launcher, directory, "10.244.0.11")),
            (Way("pod -> ClusterIP", (VIP, 80), []), await sandbox(launcher, directory, "10.244.0.12")),
            (Way("host -> NodePort", ("127.0.0.1", NODE_PORT), []), "host"),
        ]
        with process(["-c", _SERVER, str(listener.fileno()), ANSWER.hex()], (listener.fileno(),)):
            for _ in range(ROUNDS):
                for way, id_ in ways:
                    await fill(launcher, way, id_, DEPTH + 302)
                    way.round_trips.append(round_trip(way, seconds / 4))
                    way.keep_alive.append(keep_alive(way, seconds / 2))
                    way.connects.append(connects(way, 300))
                    way.bulk.append(bulk(way, int(400 * seconds)))
                    while way.sockets:
                        way.sockets.pop().close()
            updates = await update_times(kernel)
        listener.close()
        return [way for way, _ in ways], updates


async def update_times(kernel: KernelSync) -> list[float]:
    """Seconds, sorted, of changing the endpoints of one service."""
    times = []
    for turn in range(200):
        backends = tuple(Backend(f"10.244.0.{20 + turn % 2 + i}", PORT) for i in range(2))
        record = ServiceRecord(
            "bench", "other", cluster_ip="10.96.0.51", ports=(ServicePort("", "TCP", 80, 0, backends),)
        )
        before = time.perf_counter()
        await kernel.change({record.key: record})
        times.append(time.perf_counter() - before)
    return sorted(times)


def rows(tier: str = "", seconds: float = 1.0) -> Iterator[tuple[str, ...]]:
    """(what, value, ratio to the direct way): medians of the rounds."""
    measures: list[tuple[str, Callable[[Way], list[float]], str]] = [
        ("round trip", lambda way: way.round_trips, "{:.0f} us"),
        (f"requests, {DEPTH} kept connections", lambda way: way.keep_alive, "{:,.0f}/s"),
        ("requests, one connection each", lambda way: way.connects, "{:,.0f}/s"),
        ("one stream", lambda way: way.bulk, "{:.1f} Gbit/s"),
    ]
    ways, updates = asyncio.run(measure(tier or ("ns-root" if os.geteuid() == 0 else "ns-user"), seconds))
    for name, values, form in measures:
        direct = statistics.median(values(ways[0]))
        for way in ways:
            value = statistics.median(values(way))
            yield f"{name}, {way.name}", form.format(value), f"{value / direct:.2f} of direct"
    p50, p90 = updates[len(updates) // 2] * 1e3, updates[len(updates) * 9 // 10] * 1e3
    yield "service update in the kernel", f"p50 {p50:.2f} ms", f"p90 {p90:.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tier", default="", help="ns-root or ns-user; what we may have by default")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    options = parser.parse_args()
    for name, *values in rows(options.tier, options.seconds):
        print(f"{name:<50}" + "".join(f"{value:>20}" for value in values))


if __name__ == "__main__":
    main()
