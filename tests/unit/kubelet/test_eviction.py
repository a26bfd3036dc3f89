"""Node-pressure eviction: thresholds, who goes first and with which words, who is let in, and when it is over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kubelet_runtime import Behaviour
from kubelet_world import NODE, Scenario, World

from wherry.api.resources import NODES
from wherry.api.types import Obj
from wherry.kubelet.eviction import readings
from wherry.kubelet.eviction.pressure import Pressure
from wherry.kubelet.eviction.ranking import PodUsage, is_critical, ranked
from wherry.kubelet.eviction.texts import evicted
from wherry.kubelet.eviction.thresholds import (
    DEFAULT,
    DISK,
    INODES,
    MEMORY,
    BadThreshold,
    Reading,
    Threshold,
    met,
    parse,
)
from wherry.kubelet.eviction.usage import _size

MIB = 1 << 20


def pod(name: str, memory: str = "", priority: int = 0, **spec: object) -> Obj:
    resources = {"requests": {"memory": memory}} if memory else {}
    container = {"name": "app", "resources": resources}
    return {"metadata": {"name": name, "uid": name}, "spec": {"containers": [container], "priority": priority, **spec}}


def test_thresholds_are_written_as_for_the_kubelet() -> None:
    assert parse("nodefs.available<10%,memory.available<1Gi") == (
        Threshold(MEMORY, 1 << 30),
        Threshold(DISK, share=0.1),
    )
    assert parse("memory.available<0%,nodefs.available<100%") == ()
    assert [each.signal for each in parse(DEFAULT)] == [MEMORY, DISK, INODES]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("memory.available", "invalid eviction threshold syntax memory.available, expected <signal><operator><value>"),
        (
            "memory.free<1",
            "unsupported eviction signal memory.free: use memory.available, nodefs.available, nodefs.inod",
        ),
        ("imagefs.available<15%", "unsupported eviction signal imagefs.available: images lie on nodefs here"),
        ("memory.available<1,memory.available<2", "duplicate eviction threshold for memory.available"),
        ("memory.available<101%", "eviction percentage threshold memory.available must be <= 100%: 101%"),
        ("memory.available<-1%", "eviction percentage threshold memory.available must be >= 0%: -1%"),
        ("memory.available<0", "eviction threshold memory.available must be positive: 0"),
        ("memory.available<much", "eviction threshold memory.available: quantities must match"),
    ],
)
def test_a_threshold_that_cannot_be_met_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadThreshold) as refused:
        parse(text)
    assert str(refused.value).startswith(why)


def test_a_threshold_is_met_below_it_and_by_what_can_be_read() -> None:
    both = parse("memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%")
    plenty = {MEMORY: Reading(100 * MIB, 1 << 30), DISK: Reading(100, 1000)}
    assert met(both, plenty) == ()
    assert met(both, {MEMORY: Reading(100 * MIB - 1, 1 << 30), DISK: Reading(99, 1000)}) == both[:2]


def test_who_uses_more_than_it_asked_for_goes_first_then_who_matters_less_then_who_uses_most() -> None:
    pods = [
        pod("within", "100Mi"),
        pod("important", priority=10),
        pod("small"),
        pod("large"),
        pod("above", "100Mi"),
    ]
    used = {"within": 100, "important": 900, "small": 10, "large": 50, "above": 140}
    usage = {name: PodUsage(size * MIB, {}) for name, size in used.items()}
    order = [each["metadata"]["name"] for each in ranked(pods, "memory", usage)]
    assert order == ["large", "above", "small", "important", "within"]
    del usage["within"]
    assert ranked(pods, "memory", usage)[0]["metadata"]["name"] == "within", "nobody knows what it uses"


def test_what_is_said_is_what_the_kubelet_says() -> None:
    threshold, reading = parse("memory.available<100Mi")[0], Reading(86948 << 10, 1 << 30)
    text = evicted(threshold, reading, pod("p", "10Mi"), PodUsage(20 * MIB, {"app": 20 * MIB}))
    assert text == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 86948Ki. "
        "Container app was using 20Mi, request is 10Mi, has larger consumption of memory. "
    )
    text = evicted(parse("nodefs.available<10%")[0], Reading(0, 10 << 30), pod("p"), PodUsage(5, {}))
    assert text == "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 0. "


def test_a_condition_stays_for_a_while_unless_a_fault_made_it() -> None:
    pressure = Pressure(300.0)
    assert pressure.observe(["MemoryPressure"], [], fault=False, now=0.0)
    assert not pressure.observe([], [], fault=False, now=299.0)
    assert pressure.observe([], [], fault=False, now=300.0)
    assert pressure.conditions == ()
    assert pressure.observe([], ["DiskPressure"], fault=True, now=310.0)
    assert not pressure.observe([], [], fault=True, now=320.0)
    assert pressure.observe([], [], fault=False, now=330.0)
    assert pressure.conditions == ()


def test_who_is_let_in_under_pressure() -> None:
    pressure = Pressure(300.0)
    modest, greedy = pod("modest", "1Mi"), pod("greedy")
    critical = pod("critical", priority=2_000_000_000)
    tolerant = pod("tolerant", tolerations=[{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}])
    everybody = (modest, greedy, critical, tolerant)
    assert not any(map(pressure.refuses, everybody))
    pressure.observe(["MemoryPressure"], [], fault=False, now=0.0)
    assert [bool(pressure.refuses(each)) for each in everybody] == [False, True, False, False]
    pressure.observe(["DiskPressure"], [], fault=False, now=1.0)
    assert [bool(pressure.refuses(each)) for each in everybody] == [True, True, False, True]
    assert pressure.refuses(greedy) == "The node had condition: [DiskPressure MemoryPressure]. "
    assert is_critical(critical)


def test_the_machine_is_read_and_a_fault_lowers_it_until_pods_gave_back_enough(tmp_path: Path) -> None:
    found = readings.read(tmp_path / "not" / "there", 1 << 40)
    assert 0 < found[MEMORY].available < found[MEMORY].capacity == 1 << 40
    assert 0 <= found[DISK].available <= found[DISK].capacity
    real = {MEMORY: Reading(1000, 2000)}
    lowered = [
        readings.lowered(real, {MEMORY: 100, DISK: 0}, {MEMORY: freed})[MEMORY].available for freed in (0, 50, 5000)
    ]
    assert lowered == [100, 150, 1000]
    assert readings.lowered(real, {MEMORY: 100}, {MEMORY: -500})[MEMORY].available == 0


def test_what_a_pod_wrote_is_measured(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"x" * 10_000)
    (tmp_path / "away").symlink_to("/")
    used, inodes = _size(tmp_path)
    assert used >= 10_000
    assert inodes == 3
    assert _size(tmp_path / "missing") == (0, 0)


Play = Callable[[Scenario], None]


def test_one_pod_after_another_goes_until_there_is_enough(play: Play) -> None:
    async def scenario(world: World) -> None:
        world.eviction = parse("memory.available<100Mi")
        world.runtime.script["stubborn"] = [Behaviour(term_seconds=60)]
        async with world.running():
            critical = {"priority": 2_000_001_000}
            await world.create("first", {"name": "stubborn"}, restartPolicy="Always")
            await world.create("second", priority=5)
            await world.create("kept", **critical)
            for name in ("first", "second", "kept"):
                await world.until(lambda name=name: world.is_ready(name))  # type: ignore[misc]
            world.injected = {MEMORY: 98 * MIB}  # each of them gives back one MiB: two have to go
            await world.until(lambda: world.status("second").get("reason") == "Evicted")
            await world.until(lambda: world.status("first")["phase"] == "Failed")
            first = world.status("first")
            assert (first["phase"], first["reason"]) == ("Failed", "Evicted")
            assert first["message"] == (
                "The node was low on resource: memory. Threshold quantity: 100Mi, available: 98Mi. "
                "Container stubborn was using 1Mi, request is 0, has larger consumption of memory. "
            )
            disrupted = world.condition("DisruptionTarget", "first")
            assert (disrupted["status"], disrupted["reason"]) == ("True", "TerminationByKubelet")
            assert world.container("stubborn", "first")["state"]["terminated"]["exitCode"] == 137
            assert world.events.messages("Evicted")[0] == first["message"]
            assert world.events.reasons_of_node().count("EvictionThresholdMet") == 2
            await world.wait(60)
            assert world.is_ready("kept")
            assert world.events.messages("Evicted")[2:] == []
            assert not (world.directory / "pods" / "uid-first-1").exists()
            await conditions(world, "True")
            await world.create("late")
            await world.until(lambda: world.status("late").get("reason") == "Evicted")
            late = world.status("late")
            assert late["message"] == "Pod was rejected: The node had condition: [MemoryPressure]. "
            assert (late["phase"], late.get("containerStatuses")) == ("Failed", None), (
                "kubectl shows the pod's reason then"
            )
            world.injected = {}
            await world.wait(11)
            await conditions(world, "False")
            await world.create("later")
            await world.until(lambda: world.is_ready("later"))
            await world.delete("first")
            await world.until(lambda: world.stored("first") is None)

    play(scenario)


async def conditions(world: World, memory: str) -> None:
    found = (await world.client.get(NODES, NODE))["status"]["conditions"]
    assert {each["type"]: each["status"] for each in found}["MemoryPressure"] == memory


def test_an_agent_that_comes_back_leaves_evicted_pods_as_they_are_and_running_ones_in(play: Play) -> None:
    async def scenario(world: World) -> None:
        world.eviction = parse("memory.available<100Mi")
        async with world.running():
            await world.create("gone")
            await world.create("kept", priority=1)
            await world.until(lambda: world.is_ready("gone") and world.is_ready("kept"))
            world.injected = {MEMORY: 99 * MIB}
            await world.until(lambda: world.status("gone").get("reason") == "Evicted")
            await world.wait(5)
            before = world.status("gone")
            world.injected = {}
        async with world.running() as agent:
            agent.parts.pressure.observe(["DiskPressure"], [], fault=False, now=world.clock.monotonic())
            await world.wait(30)
            assert world.status("gone") == before
            assert world.is_ready("kept")

    play(scenario)
