"""Whether programs of containers may gain privileges, and that the launcher says so where nobody can."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from runtime_world import World, launcher, world

from wherry.launcher import syscalls
from wherry.testing.launcher_process import LauncherProcess, tiers

__all__ = ["launcher", "world"]


async def flag(world: World, **fields: Any) -> str:
    _, text = await world.sh(await world.sandbox(), "grep NoNewPrivs /proc/self/status", **fields)
    return text.split()[1]


async def test_programs_may_unless_they_are_asked_not_to(world: World) -> None:
    own = syscalls.prctl(syscalls.PR_GET_NO_NEW_PRIVS)
    said = (await world.runtime.status())["escalation"]
    assert (await flag(world), bool(said)) == (str(own), bool(own))
    assert await flag(world, no_new_privileges=True) == "1"


@pytest.fixture(params=tiers()[-1:], ids=lambda param: param[0])
def held(request: pytest.FixtureRequest) -> Iterator[LauncherProcess]:
    """Started by a thread with no_new_privs, which all that comes of it inherits."""
    tier, user = request.param
    with ThreadPoolExecutor(1) as pool:
        pool.submit(syscalls.prctl, syscalls.PR_SET_NO_NEW_PRIVS, 1).result()
        launcher = pool.submit(LauncherProcess, tier, user=user).result()
        yield launcher
        launcher.close()


@pytest.fixture
async def held_world(held: LauncherProcess) -> AsyncIterator[World]:
    world = World(held)
    yield world
    await world.close()


async def test_who_started_under_no_new_privs_says_that_none_may(held_world: World) -> None:
    assert (await held_world.runtime.status())["escalation"] == (
        "set-uid programs run as their caller, as Wherry was started with no_new_privs"
    )
    assert await flag(held_world) == "1"
