"""The life of a DaemonSet: nodes come and go, templates change, pods fail."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from world import World, pod_template, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from wherry.api.types import Obj
from wherry.controllers import daemonset, node_lifecycle
from wherry.reconcile.pods import is_ready


def a_daemon_set(**spec: Any) -> Obj:
    template = pod_template("agent", spec.pop("image", "agent:v1"), **spec.pop("pod", {}))
    template["spec"].update(spec.pop("pod_spec", {}))
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template, **spec},
    }


async def start(w: World, *modules: Any) -> None:
    for module in (daemonset, *modules):
        w.started.append(asyncio.create_task(w.add(module).run()))


async def status(w: World) -> Obj:
    return (await w.client.get(DAEMON_SETS, "agent", "default"))["status"]


async def ready(w: World, count: int, seconds: float = 60) -> Obj:
    """Until exactly `count` pods are wanted, up to date and ready."""

    async def done() -> bool:
        one = await w.client.get(DAEMON_SETS, "agent", "default")
        found = one["status"]
        numbers = [found["desiredNumberScheduled"], found.get("updatedNumberScheduled", 0), found["numberReady"]]
        return found.get("observedGeneration") == one["metadata"]["generation"] and numbers == [count] * 3

    await w.until(done, seconds)
    return await status(w)


async def placed(w: World) -> dict[str, str]:
    return {pod["spec"]["nodeName"]: pod["spec"]["containers"][0]["image"] for pod in await w.items(PODS)}


async def change(w: World, path: str, value: Any) -> None:
    patch = [{"op": "replace", "path": path, "value": value}]
    await w.client.patch(DAEMON_SETS, "agent", patch, "default", type="json")


IMAGE = "/spec/template/spec/containers/0/image"


def test_every_node_gets_one_pod_and_new_nodes_too() -> None:
    async def main() -> None:
        async with world(nodes=3) as w:
            await start(w)
            await w.client.create(DAEMON_SETS, a_daemon_set())
            assert await ready(w, 3) == {
                "currentNumberScheduled": 3,
                "numberMisscheduled": 0,
                "desiredNumberScheduled": 3,
                "numberReady": 3,
                "observedGeneration": 1,
                "updatedNumberScheduled": 3,
                "numberAvailable": 3,
            }
            assert set(await placed(w)) == {"wherry", "wherry-1", "wherry-2"}
            pod = (await w.items(PODS))[0]
            assert pod["metadata"]["generateName"] == "agent-"
            assert pod["metadata"]["labels"]["pod-template-generation"] == "1"
            assert pod["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet"
            (revision,) = await w.items(CONTROLLER_REVISIONS)
            hash_value = pod["metadata"]["labels"]["controller-revision-hash"]
            assert revision["metadata"]["name"] == f"agent-{hash_value}"
            await w.node.register("late")
            await ready(w, 4)
            told = await w.reasons("agent")
            assert len([one for one in told if one.startswith("SuccessfulCreate: Created pod: agent-")]) == 4

    run_virtual(main())


def test_pods_tolerate_what_befalls_a_node_and_stay() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w, node_lifecycle)
            node = await w.client.get(NODES, "wherry")
            cordoned = {**node, "spec": {"unschedulable": True}}
            await w.client.update(NODES, cordoned)
            await w.client.create(DAEMON_SETS, a_daemon_set())
            await ready(w, 1)
            (pod,) = await w.items(PODS)
            keys = [
                (one["key"].removeprefix("node.kubernetes.io/"), one["effect"]) for one in pod["spec"]["tolerations"]
            ]
            assert keys == [
                ("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("disk-pressure", "NoSchedule"),
                ("memory-pressure", "NoSchedule"), ("pid-pressure", "NoSchedule"), ("unschedulable", "NoSchedule"),
            ]  # fmt: skip
            await asyncio.sleep(400)  # the node sends no sign of life: unreachable, and its evictions would be due
            taints = (await w.client.get(NODES, "wherry"))["spec"]["taints"]
            assert {one["key"] for one in taints} >= {"node.kubernetes.io/unreachable"}
            (same,) = await w.items(PODS)
            assert same["metadata"]["uid"] == pod["metadata"]["uid"]
            assert "deletionTimestamp" not in same["metadata"]

    run_virtual(main())


def test_labels_and_taints_decide_where_it_runs() -> None:
    async def main() -> None:
        async with world(nodes=3) as w:
            await start(w)
            await label(w, "wherry-1", "fast")
            await w.client.create(DAEMON_SETS, a_daemon_set(pod_spec={"nodeSelector": {"disk": "fast"}}))
            await ready(w, 1)
            assert set(await placed(w)) == {"wherry-1"}
            await label(w, "wherry-2", "fast")
            await ready(w, 2)
            await label(w, "wherry-1", None)
            await w.until(lambda: on(w, {"wherry-2"}))
            await taint(w, "wherry-2", "NoSchedule")  # what runs stays, though it would not be started today
            await w.until(lambda: only_misscheduled(w))
            await taint(w, "wherry-2", "NoExecute")
            await w.until(lambda: on(w, set()))

    async def label(w: World, node: str, value: str | None) -> None:
        await w.client.patch(NODES, node, {"metadata": {"labels": {"disk": value}}}, type="merge")

    async def taint(w: World, node: str, effect: str) -> None:
        taints = [{"key": "team", "value": "b", "effect": effect}]
        await w.client.patch(NODES, node, {"spec": {"taints": taints}}, type="merge")

    async def on(w: World, nodes: set[str]) -> bool:
        return set(await placed(w)) == nodes

    async def only_misscheduled(w: World) -> bool:
        found = await status(w)
        return bool((found["desiredNumberScheduled"], found["numberMisscheduled"]) == (0, 1))

    run_virtual(main())


def test_a_rolling_update_keeps_to_max_unavailable() -> None:
    async def main() -> None:
        async with world(nodes=5) as w:
            await start(w)
            rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}
            await w.client.create(DAEMON_SETS, a_daemon_set(updateStrategy=rolling, pod={"ready_seconds": "3"}))
            await ready(w, 5)
            fewest, pods = 5, w.factory.informer(PODS)

            def look(type: str, pod: Obj, old: Obj | None) -> None:
                nonlocal fewest
                fewest = min(fewest, sum(is_ready(one) for one in pods.list("default")))

            pods.add_handler(look)
            await change(w, IMAGE, "agent:v2")
            await ready(w, 5)
            assert fewest == 3
            assert set((await placed(w)).values()) == {"agent:v2"}
            revisions = {one["revision"] for one in await w.items(CONTROLLER_REVISIONS)}
            assert revisions == {1, 2}
            await change(w, IMAGE, "agent:v1")  # back: the old revision becomes the newest, none is added
            await ready(w, 5)
            assert {one["revision"] for one in await w.items(CONTROLLER_REVISIONS)} == {2, 3}

    run_virtual(main())


def test_a_surge_starts_the_new_pod_before_the_old_one_goes() -> None:
    async def main() -> None:
        async with world(nodes=4) as w:
            await start(w)
            rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
            await w.client.create(DAEMON_SETS, a_daemon_set(updateStrategy=rolling, minReadySeconds=2))
            await ready(w, 4)
            await w.until(lambda: available(w, 4))
            fewest, most, pods = 4, 4, w.factory.informer(PODS)

            def look(type: str, pod: Obj, old: Obj | None) -> None:
                nonlocal fewest, most
                alive = [one for one in pods.list("default") if "deletionTimestamp" not in one["metadata"]]
                fewest, most = min(fewest, sum(is_ready(one) for one in alive)), max(most, len(alive))

            pods.add_handler(look)
            await change(w, IMAGE, "agent:v2")
            await ready(w, 4)
            await w.until(lambda: available(w, 4))
            assert (fewest, most) == (4, 5)

    async def available(w: World, count: int) -> bool:
        return (await status(w)).get("numberAvailable") == count and len(await w.items(PODS)) == count

    run_virtual(main())


def test_on_delete_waits_for_the_user() -> None:
    async def main() -> None:
        async with world(nodes=2) as w:
            await start(w)
            await w.client.create(DAEMON_SETS, a_daemon_set(updateStrategy={"type": "OnDelete"}))
            await ready(w, 2)
            await change(w, IMAGE, "agent:v2")
            await asyncio.sleep(60)
            assert set((await placed(w)).values()) == {"agent:v1"}
            assert "updatedNumberScheduled" not in await status(w)
            pod = next(one for one in await w.items(PODS) if one["spec"]["nodeName"] == "wherry")
            await w.client.delete(PODS, pod["metadata"]["name"], "default")
            wanted = {"wherry": "agent:v2", "wherry-1": "agent:v1"}
            await w.until(lambda: same(w, wanted))

    async def same(w: World, wanted: dict[str, str]) -> bool:
        pods = await w.items(PODS)
        return await placed(w) == wanted if all(one["spec"].get("nodeName") for one in pods) else False

    run_virtual(main())


def test_a_pod_that_fails_is_replaced_more_and_more_slowly() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            made: list[float] = []

            def look(type: str, pod: Obj, old: Obj | None) -> None:
                if type == "added":
                    made.append(asyncio.get_running_loop().time())

            w.factory.informer(PODS).add_handler(look)
            await w.client.create(DAEMON_SETS, a_daemon_set(pod={"run_seconds": "0.1", "exit_code": "1"}))
            await asyncio.sleep(60)
            gaps = [later - earlier for earlier, later in itertools.pairwise(made)]
            assert gaps[-1] == pytest.approx(2 * gaps[-2], rel=0.2)
            assert any(
                one.startswith("FailedDaemonPod: Found failed daemon pod default/agent-")
                for one in await w.reasons("agent")
            )

    run_virtual(main())


def test_deleted_with_its_pods_or_without() -> None:
    async def main() -> None:
        async with world(nodes=2) as w:
            await start(w)
            await w.client.create(DAEMON_SETS, a_daemon_set())
            await ready(w, 2)
            before = {one["metadata"]["uid"] for one in await w.items(PODS)}
            await w.client.delete(DAEMON_SETS, "agent", "default", propagation="Orphan")
            await w.until(lambda: orphaned(w))
            await w.client.create(DAEMON_SETS, a_daemon_set())
            await ready(w, 2)
            assert {one["metadata"]["uid"] for one in await w.items(PODS)} == before  # adopted, with their revision
            await w.client.delete(DAEMON_SETS, "agent", "default", propagation="Foreground")
            await w.until(lambda: gone(w))
            assert await w.items(PODS) == []

    async def orphaned(w: World) -> bool:
        gone = await w.get(DAEMON_SETS, "agent") is None
        return gone and not any(one["metadata"].get("ownerReferences") for one in await w.items(PODS))

    async def gone(w: World) -> bool:
        return await w.get(DAEMON_SETS, "agent") is None

    run_virtual(main())
