"""A real node network for tests: the launcher's namespaces, and pods that are a namespace, a veth and an address.

Needs root (the tests say so by `needs_node`); the pods' sockets are used by the test process itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.network.netd_control import ControlClient, Request

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
GATEWAY = "10.244.0.1"


def _can_make_namespaces() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "-n", "ip", "link"], capture_output=True).returncode == 0


needs_node = pytest.mark.skipif(not _can_make_namespaces(), reason="needs root and network namespaces")


@contextlib.contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Sockets made in this block belong to the network namespace; nothing may be awaited in it."""
    with open("/proc/thread-self/ns/net") as here:
        if _libc.setns(namespace, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            assert _libc.setns(here.fileno(), _CLONE_NEWNET) == 0


def _ip(pid: int, *lines: str) -> None:
    subprocess.run(
        ["nsenter", "-t", str(pid), "-n", "ip", "-batch", "-"], input="\n".join(lines), text=True, check=True
    )


class Pod:
    """A network namespace with an address, held open by a process that sleeps."""

    def __init__(self, node: Node, ip: str) -> None:
        self.ip = ip
        self.process = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        own = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.process.pid}/ns/net") == own:
            time.sleep(0.001)
        self.namespace = os.open(f"/proc/{self.process.pid}/ns/net", os.O_RDONLY)
        name = "v" + ip.replace(".", "")[-8:]
        _ip(
            node.inner,
            f"link add {name} type veth peer name eth0 netns {self.process.pid}",
            f"link set {name} up", f"route add {ip}/32 dev {name} src {GATEWAY}",
        )  # fmt: skip
        _ip(
            self.process.pid,
            "link set lo up", f"addr add {ip}/32 dev eth0", "link set eth0 up",
            f"route add {GATEWAY} dev eth0 scope link", f"route add default via {GATEWAY} dev eth0",
        )  # fmt: skip

    def make_socket(self, kind: int = TCP) -> socket.socket:
        with inside(self.namespace):
            sock = socket.socket(socket.AF_INET, kind)
        sock.settimeout(30)
        return sock

    def connect(self, ip: str, port: int, kind: int = TCP) -> socket.socket:
        sock = self.make_socket(kind)
        try:
            sock.connect((ip, port))
        except BaseException:
            sock.close()
            raise
        return sock

    def ask(self, ip: str, port: int) -> str:
        """What the server there says first: `<its name> <our address as it sees it>`."""
        with self.connect(ip, port) as sock:
            return sock.recv(100).decode()

    def serve(self, port: int, name: str) -> Server:
        sock = self.make_socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", port))
        sock.listen(128)
        return Server(sock, name)

    def close(self) -> None:
        os.close(self.namespace)
        self.process.kill()
        self.process.wait()


class Server:
    """Says its name and the client's address, then echoes until the client is done, then says `bye`."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        self._sock = sock
        self._name = name
        sock.settimeout(None)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, address = self._sock.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client, address[0]), daemon=True).start()

    def _talk(self, client: socket.socket, address: str) -> None:
        with client, contextlib.suppress(OSError):
            client.sendall(f"{self._name} {address}".encode())
            while data := client.recv(65536):
                client.sendall(data)
            client.sendall(b"bye")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._thread.join()


class Node:
    """The launcher with its network. `kill` and `start` make a new one at the same socket."""

    def __init__(self, directory: Path, tier: str = "ns-root") -> None:
        self.run_directory = directory
        self._tier = tier
        self.pods: list[Pod] = []
        self.servers: list[Server] = []
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([
            sys.executable, "-m", "wherry.launcher", "--socket", str(self.run_directory / "launcher.sock"),
            "--tier", self._tier, "--state", str(self.run_directory), "--no-cgroups",
            "--local-address", "10.96.0.1", "--local-address", "10.96.0.10",
        ])  # fmt: skip
        self.inner = self._wait_up()

    def _wait_up(self) -> int:
        from wherry.launcher import protocol

        while True:
            assert self._process.poll() is None, "the launcher ended"
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
                sock.connect(protocol.unix_address(self.run_directory / "launcher.sock"))
                protocol.send(sock, {"id": 1, "op": "ping", "args": {}})
                if protocol.receive(sock) is not None:
                    break
            time.sleep(0.005)
        return int(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[0])

    def pod(self, ip: str) -> Pod:
        pod = Pod(self, ip)
        self.pods.append(pod)
        return pod

    def server(self, ip: str, port: int, name: str) -> Pod:
        """A pod that serves."""
        pod = self.pod(ip)
        self.servers.append(pod.serve(port, name))
        return pod

    def populate(self) -> None:
        """Three pods; the first two serve on port 8080 and say `two` and `three`."""
        self.server("10.244.0.2", 8080, "two")
        self.server("10.244.0.3", 8080, "three")
        self.pod("10.244.0.4")

    def kill(self) -> None:
        """With everything in it."""
        for server in self.servers:
            server.close()
        for pod in self.pods:
            pod.close()
        self.pods, self.servers = [], []
        self._process.kill()
        self._process.wait()


_NETD = """
import asyncio, random, sys
from pathlib import Path
from wherry.aio.clock import RealClock
from wherry.chaos import faults
from wherry.network import netd
faults.LEASE_SECONDS = 60.0  # a test that is slow keeps its faults; it ends them itself
options = netd.NetdOptions(Path(sys.argv[1]), node_port_addresses=("127.0.0.1",), resolv_conf=Path(sys.argv[2]))
asyncio.run(netd.run(options, RealClock(), random.Random(1)))
"""


class Netd:
    """netd as its own process, to be killed."""

    def __init__(self, run_directory: Path, resolv_conf: Path = Path("/dev/null")) -> None:
        self._command = [sys.executable, "-c", _NETD, str(run_directory), str(resolv_conf)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


async def connected(directory: Path) -> tuple[ControlClient, asyncio.Task[None]]:
    """netd's control connection, once netd has its session with the launcher, and the task that reads from it."""
    while True:
        client = ControlClient(directory / "netd.sock")
        try:
            await client.connect()
            reader = asyncio.ensure_future(client.run())
            while not (await client.ask(Request("status"))).statistics["launcher"]:
                await asyncio.sleep(0.01)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            return client, reader
