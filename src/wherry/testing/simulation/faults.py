"""Makes a fault happen, and undoes it."""

from __future__ import annotations

import asyncio

from wherry.testing.simulation.scenario import Fault
from wherry.testing.simulation.world import World

SERVER = "server"
PATIENCE_SECONDS = 2.0


async def suffer(world: World, fault: Fault) -> None:
    """For as long as the fault lasts; everything is as before when this returns, also when it is cancelled."""
    seconds, disk = fault.seconds, world.disk
    if fault.kind == "crash":
        await _crash(world, [fault.target], seconds)
    elif fault.kind == "blackout":
        if fault.amount:
            await _write_under_way(world)
        await _crash(world, [SERVER] if fault.target else [SERVER, *world.members], seconds)
    elif fault.kind == "twin":
        await _twin(world, fault)
    elif fault.kind == "slow disk":
        disk.slow += fault.amount
        try:
            await world.clock.sleep(seconds)
        finally:
            disk.slow -= fault.amount
    elif fault.kind == "full disk":
        disk.full += 1
        try:
            await world.clock.sleep(seconds)
        finally:
            disk.full -= 1
    elif fault.kind == "clock":
        world.weather.struck["clock jumps"] += 1
        world.weather.skew += fault.amount
        try:
            await world.clock.sleep(seconds)
        finally:
            world.weather.skew -= fault.amount
    else:
        await _trouble(world, fault)


async def _trouble(world: World, fault: Fault) -> None:
    """What happens on the way between a component and the API server."""
    active = world.weather.begin(fault)
    try:
        if fault.kind in ("cut", "expire"):
            members = [world.members[fault.target]] if fault.target else list(world.members.values())
            for member in members:
                for wire in member.wires:
                    wire.cut(active)
        await world.clock.sleep(fault.seconds)
    finally:
        world.weather.end(active)


async def _twin(world: World, fault: Fault) -> None:
    if world.server.app is None:
        return
    world.weather.struck["second schedulers"] += 1
    twin = world.members[fault.target].twin()
    twin.start()
    try:
        await world.clock.sleep(fault.seconds)
    finally:
        await twin.crash()


async def _write_under_way(world: World) -> None:
    """The worst moment for a crash; there may be none."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await world.disk.busy()
    except TimeoutError:
        return


async def _crash(world: World, names: list[str], seconds: float) -> None:
    """Components need an API server to start; the server comes back first."""
    for name in names:
        if name == SERVER:
            world.weather.struck["crashes of the API server"] += world.server.app is not None
            await world.down()
        else:
            world.absent[name] = world.absent.get(name, 0) + 1
            world.weather.struck[f"crashes of {name}"] += world.members[name].runs
            await world.members[name].crash()
    try:
        await world.clock.sleep(seconds)
    finally:
        for name in names:
            if name == SERVER:
                await world.up()
            else:
                world.absent[name] -= 1
        world.start_members()
