"""Claims that wait for their first consumer: the scheduler decides where, the volume controller binds."""

from __future__ import annotations

import asyncio
from typing import Any

from test_scheduling import a_pod, node_of, placed
from test_stateful import a_claim, a_class, start
from test_volumes import a_volume, claim
from world import NODE, World, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from wherry.api.types import Obj

SELECTED_NODE = "volume.kubernetes.io/selected-node"


def uses(name: str, *claims: str, **spec: Any) -> Obj:
    volumes = [{"name": f"v{number}", "persistentVolumeClaim": {"claimName": one}} for number, one in enumerate(claims)]
    return a_pod(name, volumes=volumes, **spec)


def on(node: str) -> Obj:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    return {"required": {"nodeSelectorTerms": [term]}}


async def local_class(w: World) -> None:
    local = {**a_class("manual", "WaitForFirstConsumer"), "provisioner": "kubernetes.io/no-provisioner"}
    await w.client.create(STORAGE_CLASSES, local)
    await asyncio.sleep(0.1)


def test_a_pod_goes_where_a_local_volume_is_free() -> None:
    async def main() -> None:
        async with world(nodes=3) as w:
            await start(w)
            await local_class(w)
            await w.client.create(PERSISTENT_VOLUMES, a_volume("there", nodeAffinity=on(f"{NODE}-2")))
            for name in ("data", "more"):
                await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim(name, storageClassName="manual"))
            await asyncio.sleep(5)
            assert (await claim(w, "Pending"))["spec"].get("volumeName") is None
            await asyncio.gather(*(w.client.create(PODS, uses(f"for-{name}", name)) for name in ("data", "more")))
            await asyncio.sleep(5)
            nodes = {name: await node_of(w, f"for-{name}") for name in ("data", "more")}
            assert sorted(nodes.values()) == ["", f"{NODE}-2"]
            waiting = next(name for name, node in nodes.items() if not node)
            found = (await w.reasons(f"for-{waiting}"))[0]
            assert "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind." in found
            await w.client.create(PERSISTENT_VOLUMES, a_volume("new", nodeAffinity=on(NODE)))
            await w.until(lambda: placed(w, f"for-{waiting}"), 5)
            assert await node_of(w, f"for-{waiting}") == NODE
            assert (await claim(w, "Bound", waiting))["spec"]["volumeName"] == "new"

    run_virtual(main())


def test_two_claims_of_one_pod_need_volumes_of_one_node() -> None:
    async def main() -> None:
        async with world(nodes=2) as w:
            await start(w)
            await local_class(w)
            for name, node in (("a", NODE), ("b", f"{NODE}-1"), ("c", f"{NODE}-1")):
                await w.client.create(PERSISTENT_VOLUMES, a_volume(name, nodeAffinity=on(node)))
            for name in ("data", "more"):
                await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim(name, storageClassName="manual"))
            await w.client.create(PODS, uses("both", "data", "more"))
            await w.until(lambda: placed(w, "both"), 5)
            assert await node_of(w, "both") == f"{NODE}-1"
            bound = {(await claim(w, "Bound", name))["spec"]["volumeName"] for name in ("data", "more")}
            assert bound == {"b", "c"}

    run_virtual(main())


def test_a_volume_is_made_for_the_node_that_was_chosen() -> None:
    async def main() -> None:
        async with world(nodes=2) as w:
            await start(w)
            terms = [{"matchLabelExpressions": [{"key": "kubernetes.io/hostname", "values": [f"{NODE}-1"]}]}]
            late = {**a_class("late", "WaitForFirstConsumer"), "allowedTopologies": terms}
            await w.client.create(STORAGE_CLASSES, late)
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim(storageClassName="late"))
            await w.client.create(PODS, a_pod("direct", nodeName=NODE, volumes=uses("x", "data")["spec"]["volumes"]))
            await asyncio.sleep(5)
            assert (await claim(w, "Pending"))["metadata"].get("annotations", {}).get(SELECTED_NODE) is None
            assert [text.split(":")[0] for text in await w.reasons("data")] == ["WaitForFirstConsumer"]
            await w.client.create(PODS, uses("one", "data"))
            await w.until(lambda: placed(w, "one"), 5)
            assert await node_of(w, "one") == f"{NODE}-1"
            assert (await claim(w, "Bound"))["metadata"]["annotations"][SELECTED_NODE] == f"{NODE}-1"
            assert "WaitForPodScheduled: waiting for pod one to be scheduled" in await w.reasons("data")

    run_virtual(main())


def test_a_pod_that_goes_while_its_volume_is_made_holds_nothing() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            external = {**a_class("slow", "WaitForFirstConsumer"), "provisioner": "example.com/slow"}
            await w.client.create(STORAGE_CLASSES, external)
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim(storageClassName="slow"))
            await w.client.create(PODS, uses("one", "data", cpu="6"))
            await asyncio.sleep(5)
            assert (await claim(w, "Pending"))["metadata"]["annotations"][SELECTED_NODE] == NODE
            assert not await placed(w, "one")
            await w.client.create(PODS, a_pod("other", cpu="6"))
            await asyncio.sleep(5)
            assert not await placed(w, "other")
            await w.client.delete(PODS, "one", "default")
            await w.until(lambda: placed(w, "other"), 5)

    run_virtual(main())


def test_one_pod_only() -> None:
    async def main() -> None:
        async with world(nodes=2) as w:
            await start(w)
            await w.client.create(STORAGE_CLASSES, a_class("now", "Immediate"))
            alone = a_claim(storageClassName="now", accessModes=["ReadWriteOncePod"])
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, alone)
            await claim(w, "Bound")
            await w.client.create(PODS, uses("one", "data"))
            await w.until(lambda: placed(w, "one"), 5)
            await w.client.create(PODS, uses("two", "data"))
            await asyncio.sleep(5)
            text = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
            assert f"0/2 nodes are available: 2 {text}." in (await w.reasons("two"))[0]
            await w.client.delete(PODS, "one", "default")
            await w.until(lambda: placed(w, "two"), 5)

    run_virtual(main())
