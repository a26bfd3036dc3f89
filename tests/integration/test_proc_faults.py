"""Latency and partition between pods of tier proc, where netd carries what they send: real processes, as an ordinary user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from network_node import Netd, connected
from runtime_world import PATIENCE_SECONDS, World, is_exact, proc_launcher
from runtime_world import world as plain

from wherry.aio.clock import RealClock
from wherry.chaos import kept
from wherry.chaos.faults import LEASE_SECONDS, NETWORK, Fault
from wherry.network.netd_control import ask_netd
from wherry.testing.launcher_process import LauncherProcess

__all__ = ["plain"]

ECHO = """
import select, socket
tcp, udp = socket.create_server(("0.0.0.0", 8080)), socket.socket(type=socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 8080))
print("listens", flush=True)
both = [tcp, udp]
while True:
    for sock in select.select(both, [], [])[0]:
        if sock is tcp:
            both.append(tcp.accept()[0])
        elif sock is udp:
            data, caller = udp.recvfrom(99)
            udp.sendto(data, caller)
        elif data := sock.recv(99):
            sock.sendall(data)
        else:
            both.remove(sock)
            sock.close()
"""
ASK = """
import socket, sys, time
host, patience = sys.argv[1], float(sys.argv[2])
for kind in map(int, sys.argv[3:]):
    with socket.socket(type=kind) as sock:
        sock.settimeout(patience)
        try:
            sock.connect((host, 8080))
            sock.sendall(b"x")
            sock.recv(9)
            began = time.monotonic()
            sock.sendall(b"x")
            sock.recv(9)
            print(int((time.monotonic() - began) * 1000), sock.getpeername()[1])
        except OSError as error:
            print(type(error).__name__)
"""
CLOCK = RealClock()


launcher = proc_launcher()


@pytest.fixture(scope="module")
def run(launcher: LauncherProcess) -> Path:
    """The directory where netd finds the launcher's socket, and faults."""
    folder: Path = launcher.state / "run"
    (folder / "launcher.sock").symlink_to(launcher.socket)
    return folder


@pytest.fixture
async def world(plain: World, run: Path) -> AsyncIterator[World]:
    """With a netd."""
    netd = Netd(run)
    control, reader = await connected(run)
    yield plain
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    control.close()
    netd.kill()


@asynccontextmanager
async def asked(run: Path, source: str, target: str, **what: float) -> AsyncIterator[str]:
    """The name of a fault that netd is asked for, for as long as the block takes."""
    made = Fault(kept.new_name(NETWORK), NETWORK, {}, what, ends={"from": [source], "to": [target]})

    async def renew() -> None:
        while True:
            kept.renew(run / "chaos", made, CLOCK.time())
            await CLOCK.sleep(LEASE_SECONDS / 20)

    kept.renew(run / "chaos", made, CLOCK.time())
    renewing = asyncio.create_task(renew())
    ask_netd(run / "netd.sock", "faults")
    try:
        yield made.name
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        kept.end(run / "chaos", made)


@asynccontextmanager
async def fault(world: World, source: str, target: str, **what: float) -> AsyncIterator[None]:
    """Made when the block begins, and undone when it has ended."""
    run = world.launcher.state / "run"
    async with asked(run, source, target, **what) as name:
        while name not in (answer := ask_netd(run / "netd.sock", "status")).made:
            assert answer.refused == {}
            await asyncio.sleep(0.01)
        yield
    while name in ask_netd(run / "netd.sock", "status").made:
        await asyncio.sleep(0.01)


async def ask(world: World, sandbox: str, ip: str, patience: float = PATIENCE_SECONDS) -> list[str]:
    """Of TCP and UDP: milliseconds of a round trip and the port it was with, or what failed.

    Where memory is rewritten a server that answers datagrams sees nobody but 127.0.0.1, and reaches nobody: TCP only.
    """
    kinds = ["1", "2"] if is_exact(world.launcher) else ["1"]
    code, text = await world.run(sandbox, ["python3", "-c", ASK, ip, str(patience), *kinds])
    assert code == 0, text
    return text.splitlines()


async def are_quick(world: World, sandbox: str, ip: str) -> bool:
    """Whether of several each is once quicker than any that is held can be: the machine may be busy."""
    quick: set[int] = set()
    for _ in range(10):
        answers = [int(line.split()[0]) for line in await ask(world, sandbox, ip)]
        quick |= {kind for kind, milliseconds in enumerate(answers) if milliseconds < 200}
        if len(quick) == len(answers):
            return True
    return False


async def test_connections_and_datagrams_of_those_chosen_are_late(world: World) -> None:
    server, client, other = world.config(), world.config(), world.config()
    serving, asking, idle = [await world.runtime.run_pod_sandbox(each) for each in (server, client, other)]
    await world.until_printed(await world.start(serving, ["python3", "-c", ECHO]), "listens")
    async with fault(world, client.ip, server.ip, delay=0.2):
        late = await ask(world, asking, server.ip)
        assert [int(line.split()[0]) >= 200 for line in late] == [True] * len(late), late
        if is_exact(world.launcher):
            assert [line.split()[1] for line in late] == ["8080", "8080"], "nobody sees that it is another"
        assert await are_quick(world, idle, server.ip), "nobody else"
    assert await are_quick(world, asking, server.ip), "and no longer"


async def test_parted_pods_get_no_answer(world: World) -> None:
    server, client = world.config(), world.config()
    serving, asking = [await world.runtime.run_pod_sandbox(each) for each in (server, client)]
    await world.until_printed(await world.start(serving, ["python3", "-c", ECHO]), "listens")
    async with fault(world, client.ip, server.ip, loss=1.0):
        assert set(await ask(world, asking, server.ip, 0.5)) == {"TimeoutError"}
    assert all(line[0].isdigit() for line in await ask(world, asking, server.ip))


async def test_a_loss_of_some_packets_is_refused_with_the_reason(world: World, run: Path) -> None:
    async with asked(run, "10.244.0.2", "10.244.0.3", loss=0.5) as name:
        while not (refused := ask_netd(run / "netd.sock", "status").refused):
            await asyncio.sleep(0.01)
    assert refused[name].startswith("in tier proc what pods send is carried on by connections, not by packets")
