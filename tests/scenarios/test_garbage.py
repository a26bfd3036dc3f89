"""What happens to dependents: background, foreground, orphaning, absent owners, namespaces."""

from __future__ import annotations

import asyncio

import pytest
from world import World, a_deployment, world

from wherry.aio.virtual import run_virtual
from wherry.api.errors import StatusError
from wherry.api.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS, SERVICE_ACCOUNTS
from wherry.api.types import GVR, Obj


async def gone(w: World, *gvrs: object) -> bool:
    for gvr in gvrs:
        if await w.items(gvr):
            return False
    return True


def config_map(name: str, owner: Obj | None = None, **metadata: object) -> Obj:
    own: Obj = {"name": name, "namespace": "default", **metadata}
    if owner is not None:
        own["ownerReferences"] = [reference(owner)]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": own}


def reference(owner: Obj, **more: object) -> Obj:
    metadata = owner["metadata"]
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": metadata["name"], "uid": metadata["uid"], **more}


def test_background_deletion_takes_everything() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=2))
            await w.rolled_out("web")
            await w.client.delete(DEPLOYMENTS, "web", "default")
            assert await w.get(DEPLOYMENTS, "web") is None
            await w.until(lambda: gone(w, REPLICA_SETS, PODS))

    run_virtual(main())


def test_foreground_deletion_goes_from_the_leaves_up() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=2, annotations={"stop_seconds": "5"}))
            await w.rolled_out("web")
            order: list[str] = []
            for gvr in (PODS, REPLICA_SETS, DEPLOYMENTS):

                def note(type: str, obj: Obj, old: Obj | None) -> None:
                    if type == "deleted":
                        order.append(obj["kind"])

                w.factory.informer(gvr).add_handler(note)
            await w.client.delete(DEPLOYMENTS, "web", "default", propagation="Foreground")
            await w.until(lambda: gone(w, DEPLOYMENTS, REPLICA_SETS, PODS))
            await asyncio.sleep(1)
            assert order == ["Pod", "Pod", "ReplicaSet", "Deployment"]

    run_virtual(main())


def test_orphaning_leaves_dependents_to_be_adopted() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=2))
            await w.rolled_out("web")
            pods = {pod["metadata"]["uid"] for pod in await w.items(PODS)}
            await w.client.delete(DEPLOYMENTS, "web", "default", propagation="Orphan")
            await w.until(lambda: gone(w, DEPLOYMENTS))
            await asyncio.sleep(5)
            (left,) = await w.items(REPLICA_SETS)
            assert not left["metadata"].get("ownerReferences")
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=2))
            await w.rolled_out("web")
            (adopted,) = await w.items(REPLICA_SETS)
            assert adopted["metadata"]["uid"] == left["metadata"]["uid"]
            assert adopted["metadata"]["ownerReferences"][0]["kind"] == "Deployment"
            assert {pod["metadata"]["uid"] for pod in await w.items(PODS)} == pods

    run_virtual(main())


def test_an_owner_that_never_was_is_noticed() -> None:
    async def main() -> None:
        async with world() as w:
            ghost = {"metadata": {"name": "ghost", "uid": "00000000-0000-4000-8000-000000000000"}}
            await w.client.create(CONFIG_MAPS, config_map("child", ghost))
            await w.until(lambda: _absent(w, "child"))

    run_virtual(main())


async def _absent(w: World, name: str) -> bool:
    return await w.get(CONFIG_MAPS, name) is None


def test_one_living_owner_is_enough() -> None:
    async def main() -> None:
        async with world() as w:
            one = await w.client.create(CONFIG_MAPS, config_map("one"))
            two = await w.client.create(CONFIG_MAPS, config_map("two"))
            child = config_map("child")
            child["metadata"]["ownerReferences"] = [reference(one), reference(two)]
            await w.client.create(CONFIG_MAPS, child)
            await w.client.delete(CONFIG_MAPS, "one", "default")

            async def released() -> bool:
                child = await w.client.get(CONFIG_MAPS, "child", "default")
                return [ref["name"] for ref in child["metadata"]["ownerReferences"]] == ["two"]

            await w.until(released)
            await w.client.delete(CONFIG_MAPS, "two", "default")
            await w.until(lambda: _absent(w, "child"))

    run_virtual(main())


def test_foreground_waits_only_for_those_who_block() -> None:
    async def main() -> None:
        async with world() as w:
            owner = await w.client.create(CONFIG_MAPS, config_map("owner"))
            for name, block in (("blocks", True), ("free", False)):
                child = config_map(name, finalizers=["test/hold"])
                child["metadata"]["ownerReferences"] = [reference(owner, blockOwnerDeletion=block)]
                await w.client.create(CONFIG_MAPS, child)
            await asyncio.sleep(1)
            await w.client.delete(CONFIG_MAPS, "owner", "default", propagation="Foreground")
            await asyncio.sleep(30)
            assert await w.get(CONFIG_MAPS, "owner") is not None
            await w.client.patch(CONFIG_MAPS, "blocks", {"metadata": {"finalizers": None}}, "default")
            await w.until(lambda: _absent(w, "owner"))
            await w.until(lambda: _terminating(w, "free"))
            await w.client.patch(CONFIG_MAPS, "free", {"metadata": {"finalizers": None}}, "default")
            await w.until(lambda: _absent(w, "free"))

    run_virtual(main())


async def _terminating(w: World, name: str) -> bool:
    return "deletionTimestamp" in (await w.client.get(CONFIG_MAPS, name, "default"))["metadata"]


def test_a_namespace_is_emptied_and_goes() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
            await w.until(lambda: _has_account(w))
            deployment = a_deployment(replicas=2, annotations={"stop_seconds": "5"})
            deployment["metadata"]["namespace"] = "shop"
            await w.client.create(DEPLOYMENTS, deployment)
            await w.until(lambda: _ready_pods(w, 2))
            loop = asyncio.get_running_loop()
            started = loop.time()
            await w.client.delete(NAMESPACES, "shop")
            terminating = await w.client.get(NAMESPACES, "shop")
            assert terminating["status"]["phase"] == "Terminating"
            await asyncio.sleep(1)
            terminating = await w.client.get(NAMESPACES, "shop")
            reasons = {one["type"]: one["reason"] for one in terminating["status"]["conditions"]}
            assert reasons["NamespaceContentRemaining"] == "SomeResourcesRemain"
            with pytest.raises(StatusError, match="because it is being terminated"):
                await w.client.create(
                    CONFIG_MAPS, {**config_map("late"), "metadata": {"name": "late", "namespace": "shop"}}
                )
            await w.until(lambda: _no_namespace(w))
            assert loop.time() - started < 7
            for gvr in (DEPLOYMENTS, REPLICA_SETS, PODS, CONFIG_MAPS, SERVICE_ACCOUNTS):
                assert not await w.items(gvr, "shop")

    run_virtual(main())


async def _has_account(w: World) -> bool:
    return await w.get(SERVICE_ACCOUNTS, "default", "shop") is not None


async def _ready_pods(w: World, count: int) -> bool:
    pods = await w.items(PODS, "shop")
    return sum(pod.get("status", {}).get("phase") == "Running" for pod in pods) == count


async def _no_namespace(w: World) -> bool:
    try:
        await w.client.get(NAMESPACES, "shop")
    except StatusError as error:
        return error.code == 404
    return False


DEFINITIONS = GVR("apiextensions.k8s.io", "v1", "customresourcedefinitions")
WIDGETS = GVR("example.com", "v1", "widgets")


def widget(name: str, owner: Obj | None = None, namespace: str = "default") -> Obj:
    metadata: Obj = {"name": name, "namespace": namespace}
    if owner is not None:
        metadata["ownerReferences"] = [reference(owner)]
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata}


async def define_widgets(w: World) -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": spec}
    await w.client.create(DEFINITIONS, {**body, "metadata": {"name": "widgets.example.com"}})
    await w.until(lambda: WIDGETS in w.app.core.served)


def test_garbage_of_kinds_that_come_and_go() -> None:
    async def main() -> None:
        async with world() as w:
            w.started.append(asyncio.create_task(w.app.extensions.run()))
            await define_widgets(w)
            owner = await w.client.create(WIDGETS, widget("owner"))
            refers = {"apiVersion": "example.com/v1", "kind": "Widget"}
            dependent = config_map("dependent")
            dependent["metadata"]["ownerReferences"] = [reference(owner, **refers)]
            root = await w.client.create(CONFIG_MAPS, config_map("root"))
            await w.client.create(CONFIG_MAPS, dependent)
            await w.client.create(WIDGETS, widget("leaf", root))
            await w.client.delete(CONFIG_MAPS, "root", "default")

            async def leaf_gone() -> bool:
                return await w.get(WIDGETS, "leaf") is None

            await w.until(leaf_gone)
            await w.client.delete(DEFINITIONS, "widgets.example.com")

            async def dependent_gone() -> bool:
                return await w.get(CONFIG_MAPS, "dependent") is None

            await w.until(dependent_gone)  # its owner went with the kind
            await w.until(lambda: WIDGETS not in w.app.core.served)
            await define_widgets(w)
            await w.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "extra"}})
            await w.client.create(WIDGETS, widget("inside", namespace="extra"))
            await w.client.delete(NAMESPACES, "extra")

            async def namespace_gone() -> bool:
                return await w.get(NAMESPACES, "extra", "") is None

            await w.until(namespace_gone)
            assert await w.items(WIDGETS, "extra") == []

    run_virtual(main())


def test_custom_resources_are_orphaned_without_strategic_patches() -> None:
    async def main() -> None:
        async with world() as w:
            w.started.append(asyncio.create_task(w.app.extensions.run()))
            await define_widgets(w)
            root = await w.client.create(CONFIG_MAPS, config_map("root"))
            await w.client.create(WIDGETS, widget("leaf", root))
            await w.client.delete(CONFIG_MAPS, "root", "default", propagation="Orphan")

            async def free() -> bool:
                leaf = await w.get(WIDGETS, "leaf")
                return leaf is not None and "ownerReferences" not in leaf["metadata"]

            await w.until(free)

    run_virtual(main())
