"""Runs one scenario from beginning to end: `run(scenario)`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from wherry.aio.virtual import run_virtual
from wherry.testing.simulation.call import Restless
from wherry.testing.simulation.checkers import check
from wherry.testing.simulation.convergence import unsettled
from wherry.testing.simulation.faults import suffer
from wherry.testing.simulation.operations import Users
from wherry.testing.simulation.outcome import Outcome, Violation
from wherry.testing.simulation.process import reason, traceback_line
from wherry.testing.simulation.scenario import Scenario
from wherry.testing.simulation.story import Story
from wherry.testing.simulation.world import Seams, World

SETTLED_WITHIN = 1800.0
"""Virtual seconds after the last fault. A key that failed often is tried again after at most 1000 s."""
LOOK_SECONDS = 5.0
HANGS_SECONDS = 600.0


def run(scenario: Scenario, seams: Seams | None = None) -> Outcome:
    """The same outcome for the same scenario. Whatever goes wrong, here too, is a violation."""
    outcome = Outcome()
    try:
        # Not returned by the loop's main task: at its end asyncio writes out that task's result for a message nobody reads.
        run_virtual(_run(scenario, seams or Seams(), outcome))
    except Exception as error:  # noqa: BLE001  # the seed that found it is told
        outcome.violations.append(Violation("simulation", traceback_line(error)))
    return outcome


async def _run(scenario: Scenario, seams: Seams, outcome: Outcome) -> None:
    world = World(scenario, seams)
    outcome.violations = world.violations
    with world.listening():
        await _live(world)
    outcome.events, outcome.calls = world.observer.events, world.calls.all
    outcome.seconds = world.clock.monotonic()
    outcome.struck = world.struck()
    story = Story(
        world.observer.first,
        world.observer.events,
        world.calls.all,
        world.server.authors,
        world.observer.began,
        scenario.faults,
    )
    outcome.violations += check(story)


async def _live(world: World) -> None:
    """From the first start to the end of everything."""
    await world.begin()
    try:
        users = Users(world.client, world.clock, world.scenario.nodes)
        await _troubled_times(world, users)
        await _peace(world, users)
    except Restless as error:
        world.broken("restless", str(error))
    except Exception as error:  # noqa: BLE001  # as above; what was seen until then is judged all the same
        world.broken("simulation", traceback_line(error))
    finally:
        await world.end()


async def _troubled_times(world: World, users: Users) -> None:
    """Everything at its moment, side by side; whoever still waits long after the end waits for ever."""
    tasks = {
        asyncio.create_task(_at(world, fault.at, suffer(world, fault))): str(fault) for fault in world.scenario.faults
    } | {asyncio.create_task(_at(world, one.at, users.perform(one))): str(one) for one in world.scenario.operations}
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=HANGS_SECONDS)
    for task, name in tasks.items():
        if task in late:
            world.broken("hangs", f"no answer within {HANGS_SECONDS:.0f} s: {name}")
            task.cancel()
        elif (error := task.exception()) is not None:
            world.broken("request", f"{name}: {reason(error)}")


async def _peace(world: World, users: Users) -> None:
    """Nothing goes wrong any more: everything must come to what was asked for."""
    end = world.clock.monotonic() + SETTLED_WITHIN
    while True:
        await world.clock.sleep(LOOK_SECONDS)
        problems = await unsettled(world, users)
        if not problems:
            break
        if world.clock.monotonic() > end:
            world.violations += problems
            break
    for difference in await world.observer.differences():
        world.broken("list", difference)


async def _at(world: World, moment: float, work: Coroutine[Any, Any, None]) -> None:
    await world.clock.sleep(moment)
    await work
