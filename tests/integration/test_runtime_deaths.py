"""kill -9 of every process of the launcher: nothing survives it, and another one starts on what is left."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import zlib
from collections.abc import Iterator

import process_tree
import pytest
from runtime_world import PATIENCE_SECONDS, World

from wherry.cri import wire
from wherry.cri.interface import ContainerState, SandboxState
from wherry.images.rootfs import RootFS
from wherry.launcher.client import LauncherClient, LauncherError
from wherry.launcher.specs import STOP_SIGNAL_LABEL
from wherry.testing.launcher_process import LauncherProcess, ordinary_user, tiers


@pytest.fixture(params=tiers(), ids=lambda param: param[0])
def own(request: pytest.FixtureRequest) -> Iterator[LauncherProcess]:
    """A launcher that this test may kill."""
    tier, user = request.param
    launcher = LauncherProcess(tier, user=user)
    yield launcher
    launcher.close()


def _below(pid: int) -> set[int]:
    """A process and all its descendants, as the machine numbers them; some may be about to go."""
    return {pid}.union(*(_below(child) for child in process_tree.children(pid)))


def _gone(pids: set[int]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while alive := {pid for pid in pids if process_tree.lives(pid)}:
        assert time.monotonic() < deadline, alive
        time.sleep(0.005)


@pytest.mark.parametrize("victim", ["outer", "inner"])
async def test_the_launchers_death_ends_every_pod(own: LauncherProcess, victim: str) -> None:
    world = World(own)
    sandboxes = [
        await world.sandbox(),
        await world.sandbox(host_network=True),
        await world.sandbox(share_process_namespace=True),
    ]
    for sandbox in sandboxes:
        container_id = await world.start(sandbox, ["sh", "-c", "(setsid sleep 1001 &) ; echo up; sleep 1000"])
        await world.until_printed(container_id, "up")
    everything = _below(own.process.pid)
    assert len(everything) >= 2 + 3 * 3
    os.kill(own.process.pid if victim == "outer" else own.inner_pid, signal.SIGKILL)
    await asyncio.to_thread(_gone, everything - {own.process.pid})
    await asyncio.to_thread(own.process.wait, PATIENCE_SECONDS)
    with pytest.raises(ConnectionError):
        async for _ in world.runtime.events():
            pass
    own.start()
    assert await world.runtime.list_pod_sandboxes() == []
    sandbox = await world.runtime.run_pod_sandbox(world.config(ip="10.244.0.10"))
    assert (await world.sh(sandbox, "echo again"))[1] == "again\n"
    await world.close()


async def test_sigterm_ends_it_too(own: LauncherProcess) -> None:
    world = World(own)
    await world.start(await world.sandbox(), ["sleep", "1000"])
    everything = _below(own.process.pid)
    own.process.terminate()
    await asyncio.to_thread(own.process.wait, PATIENCE_SECONDS)
    await asyncio.to_thread(_gone, everything)
    world.runtime.close()
    left = f"wherry-{zlib.crc32(os.fsencode(own.state)):08x}"
    # Others' come and go while we look: os.walk passes over what has gone.
    assert not [folder for folder, names, _ in os.walk("/sys/fs/cgroup") if left in names]


@pytest.mark.parametrize(("tier", "user"), tiers(), ids=lambda value: str(value))
async def test_sigterm_lets_containers_end_by_themselves(tier: str, user: str | None) -> None:
    launcher = LauncherProcess(tier, user=user, options=("--grace", "600"))
    world = World(launcher)
    sandbox = await world.sandbox()
    polite = await world.start(sandbox, ["sh", "-c", "trap 'echo ended; exit' TERM; echo up; sleep 1000 & wait"])
    labels = {STOP_SIGNAL_LABEL: "SIGUSR1"}
    asked = ["sh", "-c", "trap 'echo asked; exit' USR1; echo up; sleep 1000 & wait"]
    other = await world.start(await world.sandbox(host_network=True), asked, labels=labels)
    for container_id in (polite, other):
        await world.until_printed(container_id, "up")
    logs = [await world.log(container_id) for container_id in (polite, other)]
    await _ends(launcher)
    assert [log.read_text().split()[-1] for log in logs] == ["ended", "asked"]
    world.runtime.close()
    launcher.close()


@pytest.mark.parametrize(("tier", "user"), tiers(), ids=lambda value: str(value))
async def test_sigterm_ends_containers_that_do_not(tier: str, user: str | None) -> None:
    launcher = LauncherProcess(tier, user=user, options=("--grace", "1"))
    world = World(launcher)
    await world.start(await world.sandbox(), ["sleep", "1000"])  # a pid 1 that does not hear
    await _ends(launcher)
    world.runtime.close()
    launcher.close()


async def _ends(launcher: LauncherProcess) -> None:
    """By SIGTERM, with all of it."""
    everything = _below(launcher.process.pid)
    launcher.process.terminate()
    await asyncio.to_thread(launcher.process.wait, PATIENCE_SECONDS)
    await asyncio.to_thread(_gone, everything)


async def test_an_init_that_dies_takes_its_containers(own: LauncherProcess) -> None:
    world = World(own)
    sandbox = await world.sandbox()
    container_id = await world.start(sandbox, ["sleep", "1000"])
    [init] = process_tree.children(own.inner_pid)
    os.kill(init, signal.SIGKILL)
    status = await world.ended(container_id)
    assert (status.exit_code, status.state) == (137, ContainerState.EXITED)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await world.runtime.list_pod_sandboxes())[0].state is SandboxState.READY:
            await asyncio.sleep(0.005)
    await world.close()


async def test_many_pods_at_once_come_and_go(own: LauncherProcess) -> None:
    world = World(own)

    async def one() -> None:
        sandbox = await world.sandbox()
        container_id = await world.start(sandbox, ["sleep", "1000"])
        assert (await world.runtime.exec_sync(container_id, ["true"], PATIENCE_SECONDS)).exit_code == 0
        await world.runtime.remove_pod_sandbox(sandbox)

    await world.runtime.status()  # our own connection is there from now on
    before = len(os.listdir(f"/proc/{own.inner_pid}/fd"))
    await asyncio.gather(*(one() for _ in range(20)))
    assert await world.runtime.list_pod_sandboxes() == []
    assert await world.runtime.list_containers() == []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while process_tree.children(own.inner_pid):  # forks that removed files are reaped after their answer
            await asyncio.sleep(0.005)
    assert len(os.listdir(f"/proc/{own.inner_pid}/fd")) == before
    world.runtime.close()


@pytest.mark.parametrize("tier", [tier for tier, user in tiers() if user is None])
async def test_state_inside_a_directory_that_pods_see(tier: str) -> None:
    """Root's state is in /var/lib: overlayfs refuses layers inside one another, and pods must not see it."""
    launcher = LauncherProcess(tier, folder="/var/tmp" if os.geteuid() else "/var/lib")
    world = World(launcher)
    try:
        sandbox = await world.sandbox()
        first = await world.start(sandbox, ["sh", "-c", "echo 1 > /var/lib/one; mkdir -p /app; echo 2 > /app/two"])
        assert (await world.ended(first)).exit_code == 0
        layer = await world.runtime.container_upper(first)
        script = f"cat /var/lib/one /app/two; ls -d /var/lib/dpkg; echo 3 > /var/lib/three; ls -A {launcher.state}"
        code, text = await world.sh(sandbox, script, RootFS((layer,), host=True))
        assert (code, text) == (0, "1\n2\n/var/lib/dpkg\n")
    finally:
        await world.close()
        launcher.close()


@pytest.mark.parametrize("own", [*tiers(), ("proc", ordinary_user())], ids=lambda param: param[0], indirect=True)
async def test_a_sandbox_is_stopped_while_it_is_being_made(own: LauncherProcess) -> None:
    """By one message right behind the other, so that both are there before its init is; in tier proc one init waits already, for
    the first of two. Nothing is left."""
    world = World(own)
    client = LauncherClient(own.socket)
    await client.connect()
    try:
        for network in (False, True):
            before = _pods(own)
            made = []
            for name in ("first", "second"):
                config = wire.sandbox_spec(world.config(host_network=network))
                made.append(asyncio.create_task(client.call("sandbox.run", id=name, config=config)))
                await asyncio.sleep(0)  # it is sent
            with pytest.raises(LauncherError, match="must be stopped"):
                await client.call("sandbox.remove", id="second")
            await client.call("sandbox.stop", id="second")
            await asyncio.gather(*made)
            await client.call("sandbox.stop", id="first")
            items = (await client.call("sandbox.list")).args["items"]
            assert {item["state"] for item in items} == {SandboxState.NOTREADY.value}
            for name in ("first", "second"):
                await client.call("sandbox.remove", id=name)
            assert _pods(own) <= before
    finally:
        client.close()
        world.runtime.close()


def _pods(launcher: LauncherProcess) -> set[int]:
    return {pid for pid in _below(launcher.process.pid) if process_tree.name(pid) == "wherry-pod"}
