"""ReplicationControllers, and claims of generic ephemeral volumes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from test_stateful import MemoryDirectories, a_claim, a_class
from world import World, pod_template, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import (
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICE_ACCOUNTS,
    STORAGE_CLASSES,
)
from wherry.api.types import Obj
from wherry.controllers import ephemeral_volume, persistent_volume, replicaset
from wherry.controllers.replicaset import plan as planning
from wherry.reconcile.pods import is_active


async def start(w: World) -> None:
    controller = replicaset.build_replication_controller(w.parts)
    w.started.append(asyncio.create_task(controller.run()))


def a_controller(replicas: int = 3, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": "old", "namespace": "default"},
        "spec": {"replicas": replicas, "template": pod_template("old"), **spec},
    }


async def running(w: World, count: int) -> list[Obj]:
    async def done() -> list[Obj] | None:
        status = (await w.client.get(REPLICATION_CONTROLLERS, "old", "default"))["status"]
        pods = [one for one in await w.items(PODS) if is_active(one)]
        same = status["replicas"] == status.get("availableReplicas", 0) == len(pods) == count
        return [{}, *pods] if same else None

    found: list[Obj] = await w.until(done)
    return found[1:]


def test_a_replication_controller_keeps_its_number() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(REPLICATION_CONTROLLERS, a_controller())
            pods = await running(w, 3)
            assert {one["metadata"]["ownerReferences"][0]["kind"] for one in pods} == {"ReplicationController"}
            await w.client.delete(PODS, pods[0]["metadata"]["name"], "default")
            await running(w, 3)
            scale = await w.client.get(REPLICATION_CONTROLLERS, "old", "default", "scale")
            scale["spec"]["replicas"] = 1
            await w.client.update(REPLICATION_CONTROLLERS, scale, subresource="scale")
            (left,) = await running(w, 1)
            quiet = (await w.client.get(REPLICATION_CONTROLLERS, "old", "default"))["metadata"]["resourceVersion"]
            await asyncio.sleep(60)
            same = (await w.client.get(REPLICATION_CONTROLLERS, "old", "default"))["metadata"]["resourceVersion"]
            assert same == quiet  # nothing is written when nothing changes
            # A pod whose label is taken away is let go, and replaced.
            patch = {"metadata": {"labels": {"app": "debug"}}}
            await w.client.patch(PODS, left["metadata"]["name"], patch, "default", type="merge")

            async def released() -> bool:
                return not (await w.client.get(PODS, left["metadata"]["name"], "default"))["metadata"].get(
                    "ownerReferences"
                )

            await w.until(released)
            assert len([one for one in await w.items(PODS) if is_active(one)]) == 2

    run_virtual(main())


def test_a_large_set_writes_its_status_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not after each change of each pod, nor because it has just written one; and it does not dawdle with new pods."""
    monkeypatch.setattr(planning, "MANY_PODS", 40)
    monkeypatch.setattr(planning, "BURST", 10)

    async def main() -> None:
        async with world() as w:
            await w.until(lambda: w.get(SERVICE_ACCOUNTS, "default"))
            statuses: list[Obj] = []
            sets = w.factory.informer(REPLICA_SETS)
            sets.add_handler(lambda type, obj, old: statuses.append(obj))
            one = a_controller(40, selector={"matchLabels": {"app": "old"}})
            one["spec"]["template"]["metadata"]["labels"]["tier"] = "web"
            begin = w.clock.time()
            await w.client.create(REPLICA_SETS, {**one, "apiVersion": "apps/v1", "kind": "ReplicaSet"})
            await w.until(lambda: statuses and statuses[-1]["status"].get("readyReplicas") == 40)
            assert w.clock.time() - begin < 0.3  # four times ten pods, which do not wait for statuses
            before = len(statuses)
            for pod in (await w.items(PODS))[:30]:
                await w.client.patch(PODS, pod["metadata"]["name"], {"metadata": {"labels": {"tier": "x"}}}, "default")
                await asyncio.sleep(0.01)
            await w.until(lambda: statuses[-1]["status"].get("fullyLabeledReplicas") == 10, 1)
            assert 2 <= len(statuses) - before <= 5
            controller = next(one for one in w.controllers if one.name == "replicaset")
            told = statuses[-1]
            controller.reconciler.on_replicaset("modified", told, told)  # type: ignore[attr-defined]
            assert (controller.queue.statistics()["depth"], controller.queue.statistics()["delayed"]) == (0, 1)
            changed = {**told, "metadata": {**told["metadata"], "generation": 2}}
            controller.reconciler.on_replicaset("modified", changed, told)  # type: ignore[attr-defined]
            assert controller.queue.statistics()["depth"] == 1

    run_virtual(main())


def test_an_ephemeral_volume_gets_a_claim_that_goes_with_its_pod() -> None:
    async def main() -> None:
        async with world() as w:
            directories = MemoryDirectories()
            volumes = w.add(persistent_volume, provisioner="wherry.dev/directory", directories=directories)
            for controller in (volumes, w.add(ephemeral_volume)):
                w.started.append(asyncio.create_task(controller.run()))
            await w.client.create(STORAGE_CLASSES, a_class("fast", "WaitForFirstConsumer"))
            await w.client.create(PODS, a_pod("one"))

            async def is_running() -> bool:
                return (await w.client.get(PODS, "one", "default"))["status"].get("phase") == "Running"

            await w.until(is_running)
            claim = await w.client.get(PERSISTENT_VOLUME_CLAIMS, "one-scratch", "default")
            assert claim["status"]["phase"] == "Bound"
            assert claim["metadata"]["labels"] == {"type": "scratch"}
            assert claim["metadata"]["ownerReferences"][0]["name"] == "one"
            assert len(directories.there) == 1
            await w.client.delete(PODS, "one", "default")
            await w.until(lambda: not directories.there)
            assert await w.items(PERSISTENT_VOLUME_CLAIMS) == []

    run_virtual(main())


def test_a_strangers_claim_of_that_name_is_not_taken() -> None:
    async def main() -> None:
        async with world() as w:
            w.started.append(asyncio.create_task(w.add(ephemeral_volume).run()))
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim("one-scratch"))
            await w.client.create(PODS, a_pod("one"))
            await asyncio.sleep(30)
            text = "PVC default/one-scratch was not created for pod default/one (pod is not owner)"
            assert f"FailedBinding: ephemeral volume scratch: {text}" in await w.reasons("one")
            assert (await w.client.get(PODS, "one", "default"))["status"]["phase"] == "Pending"

    run_virtual(main())


def a_pod(name: str) -> Obj:
    pod = {"apiVersion": "v1", "kind": "Pod", **pod_template("web")}
    pod["metadata"] |= {"name": name, "namespace": "default"}
    spec = a_claim(storageClassName="fast")["spec"]
    template = {"metadata": {"labels": {"type": "scratch"}}, "spec": spec}
    pod["spec"]["volumes"] = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]
    return pod
