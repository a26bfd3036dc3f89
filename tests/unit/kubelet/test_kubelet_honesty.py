"""What a pod, or the Node, is told when something is not given or not enforced."""

from __future__ import annotations

from collections.abc import Callable

from kubelet_world import NODE, Scenario, World

from wherry.api.resources import NETWORK_POLICIES, NODES, PODS
from wherry.kubelet.isolation import isolation

UNFILTERED = "networkPolicy {}: nothing is filtered, every pod reaches every other"


async def policy(world: World, name: str, **labels: str) -> None:
    await world.put(NETWORK_POLICIES, name, kind="NetworkPolicy", spec={"podSelector": {"matchLabels": labels}})


def enforced(world: World, name: str = "web") -> tuple[str, str] | None:
    conditions = {each["type"]: each for each in world.status(name).get("conditions") or ()}
    found = conditions.get("wherry.dev/Enforced")
    return (found["status"], found.get("message", "")) if found else None


def test_pods_hear_of_network_policies_that_select_them(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await policy(world, "others", app="other")
            await world.create()
            await world.until(world.is_ready)
            assert enforced(world) is None
            await policy(world, "all")
            await world.until(lambda: enforced(world) == ("False", UNFILTERED.format("all")))
            assert world.events.messages("NotEnforced") == [UNFILTERED.format("all")]
            pod = await world.client.get(PODS, "web", "default")
            metadata = {**pod["metadata"], "labels": {"app": "other"}}
            await world.client.update(PODS, {**pod, "metadata": metadata})
            both = f"{UNFILTERED.format('all')}; {UNFILTERED.format('others')}"
            await world.until(lambda: enforced(world) == ("False", both))
        async with world.running():
            await world.wait(1)
            assert world.events.messages("NotEnforced") == [UNFILTERED.format("all"), both]
            for name in ("all", "others"):
                await world.client.delete(NETWORK_POLICIES, name, "default")
            await world.until(lambda: enforced(world) == ("True", ""))
            assert len(world.events.messages("NotEnforced")) == 2
            assert world.container()["restartCount"] == 0

    play(scenario)


def test_what_a_program_was_refused_is_an_event_of_its_pod(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.create()
            await world.until(world.is_ready)
            world.runtime.refuse("app", "io_uring: there is none")
            await world.until(lambda: world.events.messages("NotSupported") == ["io_uring: there is none"])

    play(scenario)


def test_a_node_says_whether_pods_are_kept_apart(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.wait(1)
            conditions = (await world.client.get(NODES, NODE))["status"]["conditions"]
            assert [each["type"] for each in conditions][-2:] == ["wherry.dev/Isolated", "Ready"]
            assert conditions[-2]["reason"] == "LinuxNamespaces"
            assert conditions[-2]["message"].endswith("limits are not enforced: nothing runs")

    play(scenario)


def test_plain_processes_are_not_kept_apart() -> None:
    found = isolation({"tier": "proc", "not_isolated": "processes see one another", "limits": "no cgroups"})
    assert (found["status"], found["reason"], found["message"]) == (
        "False",
        "PlainProcesses",
        "processes see one another",
    )
