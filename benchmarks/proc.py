"""What tier `proc` costs: connect(), open() and stat() that the shim answers, data that it never sees, the start of a pod.

    python -m benchmarks.proc [--rewriting] [--rounds N] [calls] [data] [start] [many]

One program (proc_agent.py) does the same in a pod and beside it, without a filter, in turns within one run; both go to the same
sockets of a third. Read the differences and ratios. `rewriting` is what happens where pidfd_getfd(2) is forbidden.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wherry.cri.interface import ContainerConfig, Mount, SandboxConfig
from wherry.cri.service import LinuxRuntime
from wherry.images.rootfs import RootFS
from wherry.launcher.client import LauncherClient
from wherry.launcher.proc.ports import TCP, Ports, directory
from wherry.testing.launcher_process import LauncherProcess, ordinary_user

PYTHON = shutil.which("python3", path="/usr/bin:/bin:/usr/local/bin") or "python3"
AGENT = (Path(__file__).parent / "proc_agent.py").read_text()
GATEWAY, SERVER, CLIENT = "10.244.0.1", "10.244.0.10", "10.244.0.11"
VIP, QUIET, BUSY = "10.96.0.50", 8080, 8081
CALLS = 200  # per place and round; below every limit of listen(2)
RARE_CALLS, PAUSE_MILLISECONDS = 20, 10
CROWD, CROWD_CALLS = 16, 20  # processes at once, and connections of each
REQUESTS, DEPTH, MEGABYTES = 4000, 16, 400
PATIENCE_SECONDS = 60
PAUSE_SECONDS = 0.5
"""Between starts: what is made ahead of one is there, a copy of its image too; many at once are proc_many.py's."""
LAYER_FILES, LAYER_BYTES = 500, 20_000  # an application with its packages

Place = tuple[str, int]
Row = tuple[str, ...]


class Agent:
    """One agent, by its connection to us."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE_SECONDS)
        self._lines = sock.makefile("rw")
        sock.close()

    def do(self, *words: object) -> list[int]:
        self._lines.write(" ".join(str(word) for word in words) + "\n")
        self._lines.flush()
        answer: list[int] = json.loads(self._lines.readline())
        return answer


class Stage:
    """A launcher of tier proc, who starts agents in pods and beside them."""

    def __init__(self, launcher: LauncherProcess) -> None:
        self.launcher = launcher
        self.runtime = LinuxRuntime(launcher.socket, random.Random(1))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE_SECONDS)
        self._bare: list[subprocess.Popen[bytes]] = []
        self._ports = Ports(directory(str(launcher.state)))

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def real(self, ip: str, port: int) -> Place:
        """Where a process without a filter finds what a pod listens on."""
        found = self._ports.find(ip, TCP, port)
        assert found is not None, f"nobody listens at {ip}:{port}"
        return found

    def config(self, ip: str) -> SandboxConfig:
        """With its directories, which the node agent makes."""
        name = ip.replace(".", "-")
        folder = self.launcher.state / name
        owner = self.launcher.state.stat()
        for each in (folder, folder / "logs", folder / "pod"):
            each.mkdir(exist_ok=True)
            os.chown(each, owner.st_uid, owner.st_gid)
        return SandboxConfig(name, name, "bench", name, ip, folder / "logs", folder / "pod")

    async def sandbox(self, ip: str) -> str:
        return await self.runtime.run_pod_sandbox(self.config(ip))

    async def container(
        self, sandbox: str, argv: tuple[str, ...], rootfs: RootFS, mounts: tuple[Mount, ...] = ()
    ) -> str:
        config = ContainerConfig("c", argv, rootfs, "bench:v1", log_path=f"c/{time.monotonic_ns()}.log", mounts=mounts)
        made = await self.runtime.create_container(sandbox, config)
        await self.runtime.start_container(made)
        return made

    async def agent(self, ip: str, mounts: tuple[Mount, ...] = ()) -> Agent:
        """In a pod of its own."""
        sandbox = await self.sandbox(ip)
        await self.container(sandbox, (PYTHON, "-c", AGENT, GATEWAY, str(self.port)), RootFS(host=True), mounts)
        return Agent(self.listener.accept()[0])

    def bare_agent(self) -> Agent:
        self._bare.append(subprocess.Popen([PYTHON, "-c", AGENT, "127.0.0.1", str(self.port)]))
        return Agent(self.listener.accept()[0])

    def close(self) -> None:
        for child in self._bare:
            child.kill()
            child.wait()
        self.runtime.close()
        self.listener.close()


@contextlib.asynccontextmanager
async def stage(*options: str) -> AsyncIterator[Stage]:
    launcher = LauncherProcess("proc", user=ordinary_user(), folder="/var/tmp", options=options)
    made = Stage(launcher)
    try:
        yield made
    finally:
        made.close()
        launcher.close()


@dataclass
class Pair:
    """The same thing done with and without a filter."""

    name: str
    filtered: tuple[object, ...]
    bare: tuple[object, ...]
    times: dict[str, list[int]] = field(default_factory=lambda: {"filtered": [], "bare": []})

    def row(self) -> Row:
        """Microseconds: median and minimum of both, and the differences."""
        middle = {who: statistics.median(found) / 1e3 for who, found in self.times.items()}
        least = {who: min(found) / 1e3 for who, found in self.times.items()}
        return (
            self.name,
            f"{middle['filtered']:.1f} ({least['filtered']:.1f})",
            f"{middle['bare']:.1f} ({least['bare']:.1f})",
            f"+{middle['filtered'] - middle['bare']:.1f} (+{least['filtered'] - least['bare']:.1f})",
        )

    def rate(self, unit: str, amount: float) -> Row:
        """`amount` per second: medians of both, and the ratio."""
        both = {who: amount / (statistics.median(found) / 1e9) for who, found in self.times.items()}
        texts = [f"{value:,.1f}" if value < 1000 else f"{value:,.0f}" for value in both.values()]
        return self.name, *(f"{text} {unit}" for text in texts), f"{both['filtered'] / both['bare']:.2f} of without"


@dataclass
class World:
    """`inside` and `beside` do the same; both have a `server`."""

    stage: Stage
    inside: Agent
    beside: Agent
    server: Agent
    outside: str
    volume: Path

    def take_turns(self, pairs: list[Pair], rounds: int) -> None:
        """The first round warms up."""
        for turn in range(rounds + 1):
            for pair in pairs if turn % 2 else reversed(pairs):
                for who, agent, words in (("filtered", self.inside, pair.filtered), ("bare", self.beside, pair.bare)):
                    found = agent.do(*words)
                    if turn:
                        pair.times[who] += found
                    self._drain()

    def _drain(self) -> None:
        for agent in (self.inside, self.beside, self.server):
            agent.do("drain")


@contextlib.asynccontextmanager
async def world(*options: str) -> AsyncIterator[World]:
    async with stage(*options) as made:
        volume = made.launcher.state / "volume"
        volume.mkdir()
        (volume / "file").write_text("content")
        volume.chmod(0o755)
        server = await made.agent(SERVER)
        inside = await made.agent(CLIENT, (Mount(volume, "/data"),))
        beside = made.bare_agent()
        control = LauncherClient(made.launcher.socket)
        await control.connect()
        services = {"bench/web": [[VIP, "tcp", 80, False, [[SERVER, QUIET]]]]}
        await control.call("node.services", services=services, range="10.96.0.0/16", replace=True)
        control.close()
        outside = _own_address()
        for agent in (server, inside):
            agent.do("listen", QUIET)
        (port,) = beside.do("listen", 0)
        server.do("serve", BUSY)
        yield World(made, inside, beside, server, f"{outside} {port}" if outside else "", volume)


def _own_address() -> str:
    """The machine's towards the world; empty without any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(sock.getsockname()[0])


# --- parts ----------------------------------------------------------------------------------------------------------------


async def calls(rounds: int, rewriting: bool) -> list[Row]:
    """One call each."""
    async with world(*(["--no-exact"] if rewriting else [])) as it:
        real = it.stage.real(SERVER, QUIET)
        own = it.stage.real(CLIENT, QUIET)
        pairs = [
            Pair("connect to a Service", ("connect", VIP, 80, CALLS), ("connect", *real, CALLS)),
            Pair("connect to a pod", ("connect", SERVER, QUIET, CALLS), ("connect", *real, CALLS)),
            Pair("connect to its own 127.0.0.1", ("connect", "127.0.0.1", QUIET, CALLS), ("connect", *own, CALLS)),
            *(
                Pair(name, (how, VIP, 80, *words), (how, *real, *words))
                for name, how, words in (
                    (f"after {PAUSE_MILLISECONDS} ms of sleep", "now_and_then", (RARE_CALLS, PAUSE_MILLISECONDS)),
                    (f"{CROWD} processes at once, each", "at_once", (CROWD, CROWD_CALLS)),
                )
            ),
        ]
        if it.outside:
            there = ("connect", it.outside, CALLS)
            pairs.append(Pair("connect to elsewhere", there, there))
        for call in ("open", "stat"):
            for where, inside, beside in (
                ("of a volume", "/data/file", str(it.volume / "file")),
                ("of the machine", "/usr/bin/env", "/usr/bin/env"),
            ):
                pairs.append(Pair(f"{call} {where}", ("files", call, inside, CALLS), ("files", call, beside, CALLS)))
        it.take_turns(pairs, rounds)
        return [pair.row() for pair in pairs]


async def data(rounds: int) -> list[Row]:
    """What passes a connection once it is there."""
    async with world() as it:
        real = it.stage.real(SERVER, BUSY)
        inside = (SERVER, BUSY)
        trips = Pair("round trip", ("round_trips", *inside, REQUESTS), ("round_trips", *real, REQUESTS))
        many = Pair(
            f"requests, {DEPTH} kept connections",
            ("requests", *inside, DEPTH, REQUESTS), ("requests", *real, DEPTH, REQUESTS),
        )  # fmt: skip
        flow = Pair("one stream", ("stream", *inside, MEGABYTES), ("stream", *real, MEGABYTES))
        it.take_turns([trips, many, flow], rounds)
        return [trips.row(), many.rate("/s", REQUESTS), flow.rate("Gbit/s", MEGABYTES * 8 / 953.67)]


HELLO = "import socket,sys;socket.create_connection((sys.argv[1],int(sys.argv[2])))"


async def start(rounds: int) -> list[Row]:
    """Milliseconds from asking for a container until its program speaks, and what a plain process takes for that."""
    async with stage() as it:
        layer = it.launcher.state / "layer"
        _fill(layer / "app")
        roots = {"host": RootFS(host=True), "image": RootFS((layer,), host=True)}
        times: dict[str, list[float]] = {}
        for turn in range(rounds + 1):
            for name, rootfs in roots.items():
                await asyncio.sleep(PAUSE_SECONDS)
                found = await _one_start(it, f"10.244.1.{turn + 2}", rootfs)
                if turn:
                    for step, seconds in found.items():
                        times.setdefault(f"{name}: {step}", []).append(seconds * 1e3)
        return [
            (name, f"{statistics.median(found):.1f} ms", f"{min(found):.1f} ms least") for name, found in times.items()
        ]


async def _one_start(it: Stage, ip: str, rootfs: RootFS) -> dict[str, float]:
    spoken = (PYTHON, "-I", "-S", "-c", HELLO)
    begin = time.perf_counter()
    process = subprocess.Popen([*spoken, "127.0.0.1", str(it.port)])
    it.listener.accept()[0].close()
    bare = time.perf_counter() - begin
    process.wait()
    config = it.config(ip)
    begin = time.perf_counter()
    sandbox = await it.runtime.run_pod_sandbox(config)
    made = time.perf_counter()
    await it.container(sandbox, (*spoken, GATEWAY, str(it.port)), rootfs)
    started = time.perf_counter()
    it.listener.accept()[0].close()
    end = time.perf_counter()
    await it.runtime.remove_pod_sandbox(sandbox)
    return {
        "sandbox": made - begin,
        "container until execve": started - made,
        "its program after that": end - started,
        "pod in all": end - begin,
        "a plain process": bare,
        "pod above a plain process": end - begin - bare,
    }


def _fill(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(LAYER_FILES):
        package = folder / f"package{number // 20}"
        package.mkdir(exist_ok=True)
        (package / f"file{number}").write_bytes(os.urandom(16) * (LAYER_BYTES // 16))
    for path in (folder.parent, folder, *folder.rglob("*")):
        path.chmod(0o755)


def rows(
    parts: tuple[str, ...] = ("calls", "data", "start"), rounds: int = 10, rewriting: bool = False
) -> Iterator[Row]:
    if "calls" in parts:
        yield "us, median (least)", "with the filter", "without", "difference"
        yield from asyncio.run(calls(rounds, rewriting))
    if "data" in parts:
        yield from asyncio.run(data(max(rounds // 2, 2)))
    if "start" in parts:
        yield from asyncio.run(start(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("parts", nargs="*", default=["calls", "data", "start"])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--rewriting", action="store_true", help="as where pidfd_getfd(2) is forbidden")
    given = parser.parse_args()
    for name, *values in rows(tuple(given.parts), given.rounds, given.rewriting):
        print(f"{name:<40}" + "".join(f"{value:>24}" for value in values), flush=True)


if __name__ == "__main__":
    main()
