"""Which node, when, and why not: the scheduler through the API."""

from __future__ import annotations

import asyncio
from typing import Any

from world import NODE, World, pod_template, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import NODES, PODS
from wherry.api.types import Obj


def a_pod(name: str = "one", cpu: str = "", **spec: Any) -> Obj:
    template = pod_template(name)
    template["metadata"] |= {"name": name, "namespace": "default"}
    if cpu:
        template["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    template["spec"] |= spec
    return {"apiVersion": "v1", "kind": "Pod", **template}


async def node_of(w: World, name: str = "one") -> str:
    return (await w.client.get(PODS, name, "default"))["spec"].get("nodeName", "")


async def placed(w: World, name: str = "one") -> bool:
    return bool(await node_of(w, name))


def test_a_pod_is_bound_at_once() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(PODS, a_pod())
            await asyncio.sleep(0.001)
            assert await node_of(w) == NODE
            await asyncio.sleep(0.1)
            assert await w.reasons("one") == [f"Scheduled: Successfully assigned default/one to {NODE}"]

    run_virtual(main())


def test_too_big_waits_until_there_is_room() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(PODS, a_pod("first", cpu="6"))
            await w.until(lambda: placed(w, "first"))
            await w.client.create(PODS, a_pod(cpu="4"))
            await asyncio.sleep(1)
            text = (
                "0/1 nodes are available: 1 Insufficient cpu. "
                "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
            )
            assert await w.reasons("one") == [f"FailedScheduling: {text}"]
            pod = await w.client.get(PODS, "one", "default")
            condition = next(one for one in pod["status"]["conditions"] if one["type"] == "PodScheduled")
            assert (condition["status"], condition["reason"], condition["message"]) == ("False", "Unschedulable", text)
            decisions = w.scheduler.statistics()["decisions"]
            await asyncio.sleep(100)
            assert w.scheduler.statistics()["decisions"] == decisions
            await w.client.delete(PODS, "first", "default")
            await w.until(lambda: placed(w), 2)

    run_virtual(main())


def test_selectors_taints_and_cordons_are_counted_over_nodes() -> None:
    async def main() -> None:
        async with world(nodes=4) as w:
            await w.client.patch(NODES, f"{NODE}-1", {"spec": {"unschedulable": True}})
            taint = [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]
            await w.client.patch(NODES, f"{NODE}-2", {"spec": {"taints": taint}})
            await w.client.patch(NODES, f"{NODE}-3", {"metadata": {"labels": {"disk": "ssd"}}})
            await asyncio.sleep(1)
            await w.client.create(PODS, a_pod(cpu="100", nodeSelector={"disk": "ssd"}))
            await asyncio.sleep(1)
            expected = (
                "FailedScheduling: 0/4 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node "
                "affinity/selector, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. preemption: 0/4 nodes "
                "are available: 4 Preemption is not helpful for scheduling."
            )
            assert await w.reasons("one") == [expected]
            tolerations = [{"key": "dedicated", "operator": "Exists"}]
            await w.client.create(PODS, a_pod("two", nodeName="", tolerations=tolerations))
            await w.until(lambda: placed(w, "two"))

    run_virtual(main())


def test_pods_spread_over_equal_nodes() -> None:
    async def main() -> None:
        async with world(nodes=4) as w:
            for number in range(16):
                await w.client.create(PODS, a_pod(f"pod-{number}", cpu="500m"))
            await asyncio.sleep(1)
            nodes = [await node_of(w, f"pod-{number}") for number in range(16)]
            assert sorted(nodes.count(name) for name in set(nodes)) == [4, 4, 4, 4]

    run_virtual(main())


def test_gates_hold_a_pod_back() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(PODS, a_pod(schedulingGates=[{"name": "example.com/wait"}]))
            await asyncio.sleep(10)
            assert not await placed(w)
            await w.client.patch(PODS, "one", {"spec": {"schedulingGates": None}}, "default")
            await w.until(lambda: placed(w), 1)

    run_virtual(main())


def test_host_ports_and_affinity_keep_apart_and_together() -> None:
    async def main() -> None:
        async with world(nodes=2) as w:
            for name in ("a", "b", "c"):
                pod = a_pod(name)
                pod["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": 8080}]
                await w.client.create(PODS, pod)
            await asyncio.sleep(1)
            assert {await node_of(w, "a"), await node_of(w, "b")} == {NODE, f"{NODE}-1"}
            assert not await placed(w, "c")
            found = (await w.reasons("c"))[0]
            assert "2 node(s) didn't have free ports for the requested pod ports" in found
            near = {
                "podAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        {"labelSelector": {"matchLabels": {"app": "a"}}, "topologyKey": "kubernetes.io/hostname"}
                    ]
                }
            }
            far = {"podAntiAffinity": near["podAffinity"]}
            await w.client.create(PODS, a_pod("near", affinity=near))
            await w.client.create(PODS, a_pod("far", affinity=far))
            await asyncio.sleep(1)
            assert await node_of(w, "near") == await node_of(w, "a")
            assert await node_of(w, "far") == await node_of(w, "b")

    run_virtual(main())


def test_important_pods_take_the_place_of_others() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(PODS, a_pod("low", cpu="5"))
            await w.until(lambda: placed(w, "low"))
            await w.client.create(PODS, a_pod("high", cpu="5", priorityClassName="system-cluster-critical"))
            await w.until(lambda: placed(w, "high"), 10)
            assert await w.get(PODS, "low") is None
            assert any(one.startswith("Preempted: ") for one in await w.reasons("low"))

    run_virtual(main())


def test_a_thousand_pods() -> None:
    async def main() -> None:
        async with world(nodes=20) as w:
            for number in range(1000):
                await w.client.create(PODS, a_pod(f"pod-{number}", cpu="10m"))
            await asyncio.sleep(1)
            assert w.scheduler.statistics()["scheduled"] == 1000
            assert w.scheduler.statistics()["decisions"] == 1000

    run_virtual(main())
