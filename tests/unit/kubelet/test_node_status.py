"""The Node the agent keeps: what it says, when it is written, and what is told about changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubelet_world import NODE, Scenario, World

from wherry.api.resources import NODES
from wherry.api.types import Obj
from wherry.kubelet.node_status import REPORT_SECONDS, Vitals, _timeless, conditions, transitions


def vitals(**changed: Any) -> Vitals:
    return Vitals(**{"pressures": (), "runtime_ready": True, **changed})


def test_what_changed_is_told_once() -> None:
    first = conditions(vitals(), [], 1000.0)
    assert transitions([], first) == [
        "NodeHasSufficientMemory",
        "NodeHasNoDiskPressure",
        "NodeHasSufficientPID",
        "NodeReady",
    ]
    worse = conditions(vitals(pressures=("MemoryPressure",), runtime_ready=False), first, 1010.0)
    assert transitions(first, worse) == ["NodeHasInsufficientMemory", "NodeNotReady"]
    assert (
        transitions(worse, conditions(vitals(pressures=("MemoryPressure",), runtime_ready=False), worse, 1020.0)) == []
    )
    moved = {each["type"]: each["lastTransitionTime"] for each in worse}
    assert moved["DiskPressure"] == "1970-01-01T00:16:40Z"
    assert moved["Ready"] == "1970-01-01T00:16:50Z"


def test_what_is_empty_and_what_is_missing_are_no_news() -> None:
    found = conditions(vitals(), [], 1000.0)
    stored = {
        "capacity": {"cpu": "2"},
        "conditions": [*reversed(found), {"type": "NetworkUnavailable", "status": "False"}],
    }
    later = conditions(vitals(), found, 1010.0)
    assert _timeless({"capacity": {"cpu": "2"}, "conditions": later, "images": []}) == _timeless(stored)


def test_it_says_that_it_is_back_when_others_took_it_for_dead(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.wait(1)
            told = world.events.reasons_of_node()
            assert told[0] == "Starting"
            assert told.count("NodeReady") == 1
            live = await world.client.get(NODES, NODE)
            await world.wait(REPORT_SECONDS / 5)
            # What is not new is not written.
            assert (await world.client.get(NODES, NODE))["metadata"]["resourceVersion"] == _version(live)
            lost = {
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
            }
            theirs = {"type": "NetworkUnavailable", "status": "False"}
            status = {**live["status"], "conditions": [theirs, *(each | lost for each in live["status"]["conditions"])]}
            await world.client.update(NODES, {**live, "status": status}, subresource="status")
            await world.wait(11)
            found = (await world.client.get(NODES, NODE))["status"]["conditions"]
            assert {each["type"]: each["status"] for each in found}["Ready"] == "True"
            assert world.events.reasons_of_node().count("NodeReady") == 2

    play(scenario)


def _version(obj: Obj) -> str:
    return str(obj["metadata"]["resourceVersion"])
