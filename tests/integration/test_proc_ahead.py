"""What tier proc makes ahead of time: inits, used, killed while they wait, and gone with the launcher; copies of images."""

from __future__ import annotations

import asyncio
import os
import signal

import process_tree
import pytest
from runtime_world import PATIENCE_SECONDS, World, proc_launcher, world

from wherry.images.rootfs import RootFS
from wherry.launcher.proc.image_files import IMAGES
from wherry.launcher.proc.kits import KITS

__all__ = ["world"]

launcher = proc_launcher(both_ways=False, scope="function")


def named(pid: int, name: str) -> list[int]:
    """Processes below one, by what ps shows."""
    children = process_tree.children(pid)
    below = [each for child in children for each in named(child, name)]
    return [child for child in children if process_tree.name(child) == name] + below


async def spare(world: World) -> tuple[int, int]:
    """An init that waits, and the process that becomes its first container."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            for init in named(world.launcher.process.pid, "wherry-spare"):
                children = named(init, "wherry-spare")  # the last that it makes
                if children and process_tree.state(init) == "S":  # it has told the launcher,
                    await world.runtime.stats()  # which answers what comes after that
                    await world.runtime.stats()
                    return init, children[0]
            await asyncio.sleep(0.005)


async def says_hello(world: World) -> None:
    sandbox = await world.sandbox()
    assert await world.sh(sandbox, "echo hello > /tmp/said; cat /tmp/said; pwd") == (0, "hello\n/\n")
    assert await world.sh(sandbox, "ls /tmp") == (0, "")


async def test_a_pod_takes_what_waits(world: World) -> None:
    init, child = await spare(world)
    sandbox = await world.sandbox()
    container = await world.start(sandbox, ["sleep", "60"])
    status = await world.runtime.container_status(container)
    assert status is not None
    assert status.pid == child
    assert process_tree.name(init) == "wherry-pod"
    assert (await spare(world))[0] != init


@pytest.mark.parametrize("victim", ["the nursery", "the init", "its child"])
async def test_what_waits_is_killed(world: World, victim: str) -> None:
    init, child = await spare(world)
    (nursery,) = named(world.launcher.process.pid, "wherry-nursery")
    killed = {"the nursery": nursery, "the init": init, "its child": child}[victim]
    os.kill(killed, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while os.path.exists(f"/proc/{killed}/fd/0"):
            await asyncio.sleep(0.005)
    for _ in range(3):
        await says_hello(world)


async def test_nothing_is_left_of_a_kit(world: World) -> None:
    await spare(world)
    before = set((world.launcher.state / KITS).iterdir())
    await world.ended(await world.start(await world.sandbox(host_network=True), ["true"], log_path=""))
    assert not before & set((world.launcher.state / KITS).iterdir())


async def test_the_next_container_of_an_image_takes_the_copy_in_store(world: World) -> None:
    layer = world.launcher.state / "layer"
    (layer / "app").mkdir(parents=True)
    (layer / "app/file").write_text("hello\n")

    async def says() -> None:
        assert await world.sh(await world.sandbox(), "cat /app/file", RootFS((layer,), host=True)) == (0, "hello\n")

    async def copy(*, but: int = 0) -> int:
        """The inode of the copy that waits, once it is another one."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                for each in (world.launcher.state / IMAGES).glob("*.copy"):
                    if each.stat().st_ino != but:
                        assert os.readlink(each.with_suffix(".size")) == "6"
                        return each.stat().st_ino
                await asyncio.sleep(0.005)

    await says()
    await says()
    first = await copy()
    await says()
    assert await copy(but=first) != first
