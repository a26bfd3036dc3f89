"""Taints with which people, and cordons, move pods away; pods of nodes that are out of service."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

from world import NODE, World, pod_template, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import NODES, PODS
from wherry.api.types import Obj
from wherry.controllers import node_lifecycle


def a_pod(name: str, *tolerations: Obj, **annotations: str) -> Obj:
    pod = {"apiVersion": "v1", "kind": "Pod", **pod_template("web", **annotations)}
    pod["metadata"] |= {"name": name, "namespace": "default"}
    pod["spec"] |= {"nodeName": NODE, "tolerations": list(tolerations)}
    return pod


async def taint(w: World, *taints: Obj) -> None:
    await w.client.patch(NODES, NODE, {"spec": {"taints": list(taints)}}, type="merge")


async def there(w: World) -> set[str]:
    return {one["metadata"]["name"] for one in await w.items(PODS) if "deletionTimestamp" not in one["metadata"]}


async def start(w: World) -> None:
    w.started.append(asyncio.create_task(w.add(node_lifecycle, last_sign=lambda name: inf).run()))


def for_a_while(seconds: int) -> Obj:
    return {"key": "team", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}


def test_pods_leave_at_once_later_or_never() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            for pod in (
                a_pod("never", {"operator": "Exists"}),
                a_pod("later", for_a_while(60)),
                a_pod("at-once", stop_seconds="5"),
            ):
                await w.client.create(PODS, pod)
            await asyncio.sleep(2)
            await taint(w, {"key": "team", "value": "b", "effect": "NoExecute"})
            await asyncio.sleep(2)
            assert await there(w) == {"never", "later"}
            gone = await w.client.get(PODS, "at-once", "default")
            (target,) = [one for one in gone["status"]["conditions"] if one["type"] == "DisruptionTarget"]
            said = target["reason"], target["message"]
            assert said == ("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
            told = await w.reasons("at-once")
            assert "TaintManagerEviction: Marking for deletion Pod default/at-once" in told
            # Looked at again in between: the day does not move.
            await asyncio.sleep(30)
            await w.client.patch(NODES, NODE, {"metadata": {"labels": {"a": "b"}}}, type="merge")
            await asyncio.sleep(33)
            assert await there(w) == {"never"}

    run_virtual(main())


def test_a_taint_that_goes_in_time_cancels_the_deletion() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(PODS, a_pod("lucky", for_a_while(60)))
            await asyncio.sleep(2)
            await taint(w, {"key": "team", "effect": "NoExecute"})
            await asyncio.sleep(30)
            await taint(w)
            await asyncio.sleep(60)
            assert await there(w) == {"lucky"}
            assert "TaintManagerEviction: Cancelling deletion of Pod default/lucky" in await w.reasons("lucky")

    run_virtual(main())


def test_nobody_is_evicted_while_no_node_is_ready() -> None:
    """Rather the control plane is cut off than every node dead; once one is back, the others' pods go in their time."""

    async def main() -> None:
        async with world(nodes=2) as w:
            await start(w)
            await w.client.create(PODS, a_pod("stays"))
            await asyncio.sleep(2)
            for name in (NODE, f"{NODE}-1"):
                await condition(w, name, "Unknown")
            await asyncio.sleep(1000)
            assert await effects(w) == {"NoSchedule"}
            assert await there(w) == {"stays"}
            await condition(w, f"{NODE}-1", "True")
            await asyncio.sleep(200)
            assert await effects(w) == {"NoSchedule", "NoExecute"}
            assert await there(w) == {"stays"}
            await asyncio.sleep(110)
            assert await there(w) == set()

    async def condition(w: World, name: str, value: str) -> None:
        node = await w.client.get(NODES, name)
        status = {**node["status"], "conditions": [{"type": "Ready", "status": value}]}
        await w.client.update(NODES, {**node, "status": status}, subresource="status")

    async def effects(w: World) -> set[str]:
        return {one["effect"] for one in (await w.client.get(NODES, NODE))["spec"]["taints"]}

    run_virtual(main())


def test_a_cordon_is_a_taint_and_nodes_are_welcomed() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.patch(NODES, NODE, {"spec": {"unschedulable": True}}, type="merge")
            found = await w.until(lambda: tainted(w))
            assert [(one["key"], one["effect"]) for one in found] == [
                ("node.kubernetes.io/unschedulable", "NoSchedule")
            ]
            await w.client.patch(NODES, NODE, {"spec": {"unschedulable": None}}, type="merge")

            async def clean() -> bool:
                return not await tainted(w)

            await w.until(clean)
            text = f"RegisteredNode: Node {NODE} event: Registered Node {NODE} in Controller"
            assert text in await w.reasons(NODE)

    async def tainted(w: World) -> Any:
        return (await w.client.get(NODES, NODE)).get("spec", {}).get("taints")

    run_virtual(main())


def test_pods_of_a_node_that_is_out_of_service_do_not_wait_for_it() -> None:
    async def main() -> None:
        async with world() as w:
            w.node.names.discard(NODE)  # it stops nothing any more
            await start(w)
            pod = a_pod("stuck", {"operator": "Exists"})
            await w.client.create(PODS, pod)
            await w.client.delete(PODS, "stuck", "default")
            await asyncio.sleep(60)
            assert (await w.client.get(PODS, "stuck", "default"))["metadata"]["deletionTimestamp"]
            node = await w.client.get(NODES, NODE)
            conditions = [{"type": "Ready", "status": "False"}]
            status = {**node["status"], "conditions": conditions}
            await w.client.update(NODES, {**node, "status": status}, subresource="status")
            await asyncio.sleep(1)
            taints = (await w.client.get(NODES, NODE))["spec"]["taints"]
            await taint(
                w, *taints, {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute", "value": "shutdown"}
            )
            await asyncio.sleep(30)
            assert await w.items(PODS) == []

    run_virtual(main())
