"""Preemption through the API: who is told what, whom budgets protect, and that promised room is kept."""

from __future__ import annotations

import asyncio
import random

from test_disruptions import a_budget, numbers, start
from test_scheduling import a_pod, node_of, placed
from world import NODE, World, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import NODES, POD_DISRUPTION_BUDGETS, PODS, PRIORITY_CLASSES
from wherry.api.types import Obj
from wherry.reconcile.pods import condition
from wherry.scheduler.profiles import API_VERSION, parse
from wherry.scheduler.scheduler import Scheduler


async def classes(w: World) -> None:
    for name, value in (("low", 10), ("middle", 100), ("high", 1000)):
        metadata = {"name": name}
        kind = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
        await w.client.create(PRIORITY_CLASSES, {**kind, "metadata": metadata, "value": value})
    await asyncio.sleep(0.1)


def important(name: str, level: str, cpu: str, **annotations: str) -> Obj:
    pod = a_pod(name, cpu=cpu, priorityClassName=level)
    pod["metadata"]["annotations"] = {f"test/{key}": value for key, value in annotations.items()}
    return pod


def test_a_victim_is_told_why_and_the_room_is_kept() -> None:
    async def main() -> None:
        async with world() as w:
            await classes(w)
            await w.client.create(PODS, important("victim", "low", "5", **{"stop-seconds": "20"}))
            await w.until(lambda: placed(w, "victim"))
            await w.client.create(PODS, important("winner", "high", "6"))
            await asyncio.sleep(1)
            victim = await w.client.get(PODS, "victim", "default")
            told = condition(victim, "DisruptionTarget")
            assert told is not None
            text = "default-scheduler: preempting to accommodate a higher priority pod"
            assert (told["status"], told["reason"], told["message"]) == ("True", "PreemptionByScheduler", text)
            assert "deletionTimestamp" in victim["metadata"]
            winner = await w.client.get(PODS, "winner", "default")
            assert winner["status"]["nominatedNodeName"] == NODE
            assert f"Preempted: Preempted by pod {winner['metadata']['uid']} on node {NODE}" in await w.reasons(
                "victim"
            )
            # There is room for it now, but it is promised.
            await w.client.create(PODS, important("thief", "middle", "3"))
            await w.until(lambda: placed(w, "winner"), 30)
            assert not await placed(w, "thief")
            winner = await w.client.get(PODS, "winner", "default")
            assert winner["spec"]["nodeName"] == NODE
            assert "nominatedNodeName" not in winner["status"]
            await w.client.delete(PODS, "winner", "default")
            await w.until(lambda: placed(w, "thief"), 5)

    run_virtual(main())


def test_the_promise_ends_with_the_pod_or_when_somebody_more_important_comes() -> None:
    async def main() -> None:
        async with world() as w:
            await classes(w)
            await w.client.create(PODS, important("victim", "low", "8", **{"stop-seconds": "60"}))
            await w.until(lambda: placed(w, "victim"))
            await w.client.create(PODS, important("first", "middle", "6"))
            await asyncio.sleep(1)
            await w.client.create(PODS, important("second", "high", "6"))
            await asyncio.sleep(1)
            first, second = [(await w.client.get(PODS, name, "default"))["status"] for name in ("first", "second")]
            assert "nominatedNodeName" not in first
            assert second["nominatedNodeName"] == NODE
            await w.client.delete(PODS, "second", "default")
            await w.until(lambda: placed(w, "first"), 70)

    run_virtual(main())


def test_a_node_that_goes_takes_its_promise_along() -> None:
    async def main() -> None:
        async with world() as w:
            await classes(w)
            await w.client.create(PODS, important("victim", "low", "8", **{"stop-seconds": "600"}))
            await w.until(lambda: placed(w, "victim"))
            await w.client.create(PODS, important("winner", "high", "6"))
            await asyncio.sleep(1)
            await w.client.patch(NODES, NODE, {"spec": {"unschedulable": True}})
            await asyncio.sleep(5)
            winner = await w.client.get(PODS, "winner", "default")
            assert "nominatedNodeName" not in winner["status"]
            assert not await placed(w, "winner")

    run_virtual(main())


def test_budgets_are_kept_by_many_at_once_in_any_order() -> None:
    async def story(seed: int) -> None:
        rng = random.Random(seed)
        async with world(seed, nodes=4) as w:
            await classes(w)
            await start(w, replicas=0)
            for number in range(8):
                pod = important(f"low-{number}", "low", "4")
                pod["metadata"]["labels"] = {"app": "web" if number < 5 else "free"}
                await w.client.create(PODS, pod)
            await w.client.create(POD_DISRUPTION_BUDGETS, a_budget(minAvailable=3))
            await numbers(w, 2, 5, 3, 5)
            names = [f"high-{number}" for number in range(5)]
            rng.shuffle(names)
            for name in names:
                await w.client.create(PODS, important(name, "high", "4"))
                await asyncio.sleep(rng.choice([0, 0, 0.01, 1]))
            for name in names:
                await w.until(lambda name=name: placed(w, name), 30)  # type: ignore[misc]
            left = [pod for pod in await w.items(PODS) if pod["metadata"]["name"].startswith("low")]
            # Five had to go: the three nobody protects and two the budget allows.
            assert sorted(pod["metadata"]["labels"]["app"] for pod in left) == ["web", "web", "web"]

    for seed in range(6):
        run_virtual(story(seed))


def test_pods_of_other_schedulers_are_left_alone_and_named_nodes_are_not_asked() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(PODS, a_pod("theirs", schedulerName="another"))
            await w.client.create(PODS, a_pod("direct", cpu="100", nodeName=NODE))
            await asyncio.sleep(5)
            assert not await placed(w, "theirs")
            assert await w.reasons("theirs") == []
            assert await node_of(w, "direct") == NODE
            assert w.scheduler.statistics()["decisions"] == 0

    run_virtual(main())


def test_a_second_profile_packs_nodes() -> None:
    async def main() -> None:
        async with world(nodes=3) as w:
            args = {"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated"}}}
            balanced = {"score": {"disabled": [{"name": "NodeResourcesBalancedAllocation"}]}}
            packing = {"schedulerName": "packing", "plugins": balanced, "pluginConfig": [args]}
            config = {"apiVersion": API_VERSION, "kind": "KubeSchedulerConfiguration", "profiles": [packing]}
            scheduler = Scheduler(w.parts, profiles=parse(config))
            w.started.append(asyncio.create_task(scheduler.run()))
            for number in range(4):
                await w.client.create(PODS, a_pod(f"pod-{number}", cpu="1", schedulerName="packing"))
                await w.until(lambda number=number: placed(w, f"pod-{number}"))  # type: ignore[misc]
            assert len({await node_of(w, f"pod-{number}") for number in range(4)}) == 1
            assert w.scheduler.statistics()["decisions"] == 0

    run_virtual(main())
