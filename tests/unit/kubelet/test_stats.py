"""/stats/summary in virtual time: over which time usage is averaged, as who reads it has to know."""

from __future__ import annotations

from collections.abc import Callable

from kubelet_world import Scenario, World

from wherry.aio.clock import parse_rfc3339
from wherry.api.types import Obj

PACE = 1_000_000
"""Nano-cores that every container of the scripted runtime uses."""


async def cpu_of(world: World, name: str) -> Obj:
    assert world.kubelet is not None
    summary = await world.kubelet.stats.summary()
    pod = next(each for each in summary["pods"] if each["podRef"]["name"] == name)
    cpu: Obj = pod["containers"][0]["cpu"]
    assert cpu["windowSeconds"] == pod["cpu"]["windowSeconds"]
    assert abs(cpu["usageNanoCores"] - PACE) < PACE / 100
    return cpu


def test_windows_say_what_was_measured_and_when(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.create("old")
            await world.until(lambda: world.is_ready("old"))
            assert (await cpu_of(world, "old"))["windowSeconds"] == 0.2
            await world.wait(10)
            cpu = await cpu_of(world, "old")
            assert 10 <= cpu["windowSeconds"] < 10.3
            assert parse_rfc3339(cpu["time"]) == int(world.clock.time())
            await world.wait(0.9)
            assert await cpu_of(world, "old") == cpu, "kept for a second, and not said to be newer than it is"

    play(scenario)


def test_a_container_seen_once_is_measured_since_its_start(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.create("old")
            await world.until(lambda: world.is_ready("old"))
            await cpu_of(world, "old")
            await world.wait(20)
            await world.create("new")
            await world.until(lambda: world.is_ready("new"))
            await world.wait(3)
            assert 20 < (await cpu_of(world, "old"))["windowSeconds"] < 25
            assert 3 <= (await cpu_of(world, "new"))["windowSeconds"] < 4

    play(scenario)
