"""StatefulSets and claims: order, identity, volumes that outlive pods."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from world import World, pod_template, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import (
    CONTROLLER_REVISIONS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    STATEFUL_SETS,
    STORAGE_CLASSES,
)
from wherry.api.types import Obj
from wherry.controllers import persistent_volume
from wherry.reconcile.pods import is_ready


class MemoryDirectories:
    """Directories that are only names."""

    def __init__(self) -> None:
        self.there: set[str] = set()

    async def create(self, name: str) -> str:
        self.there.add(name)
        return f"/volumes/{name}"

    async def remove(self, name: str) -> None:
        self.there.discard(name)


def a_claim(name: str = "data", **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec},
    }


def a_class(name: str, mode: str) -> Obj:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "wherry.dev/directory",
        "volumeBindingMode": mode,
    }


def a_set(replicas: int = 3, **spec: Any) -> Obj:
    claim = {"metadata": {"name": "data"}, "spec": a_claim()["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "nats", "namespace": "default"},
        "spec": {
            "serviceName": "nats",
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "nats"}},
            "template": pod_template("nats"),
            "volumeClaimTemplates": [claim],
            **spec,
        },
    }


async def start(w: World) -> MemoryDirectories:
    directories = MemoryDirectories()
    controller = w.add(persistent_volume, provisioner="wherry.dev/directory", directories=directories)
    w.started.append(asyncio.create_task(controller.run()))
    return directories


async def ready(w: World, count: int, image: str = "shop/web:v1") -> bool:
    pods = await w.items(PODS)
    good = [pod for pod in pods if is_ready(pod) and pod["spec"]["containers"][0]["image"] == image]
    return len(good) == len(pods) == count


async def phase(w: World, gvr: Any, name: str, namespace: str | None = "default") -> str:
    return (await w.client.get(gvr, name, namespace)).get("status", {}).get("phase", "")


def test_pods_come_in_order_with_names_and_claims() -> None:
    async def main() -> None:
        async with world() as w:
            directories = await start(w)
            order: list[str] = []

            def look(type: str, pod: Obj, old: Obj | None) -> None:
                if type == "added":
                    order.append(pod["metadata"]["name"])
                    running = [p for p in w.factory.informer(PODS).list("default") if is_ready(p)]
                    assert len(running) == len(order) - 1

            w.factory.informer(PODS).add_handler(look)
            await w.client.create(STATEFUL_SETS, a_set())
            await w.until(lambda: ready(w, 3))
            assert order == ["nats-0", "nats-1", "nats-2"]
            pod = await w.client.get(PODS, "nats-1", "default")
            assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("nats-1", "nats")
            assert pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "1"
            volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
            assert volumes["data"]["persistentVolumeClaim"]["claimName"] == "data-nats-1"
            assert len(directories.there) == 3
            found = await w.reasons("nats")
            assert "SuccessfulCreate: create Pod nats-0 in StatefulSet nats successful" in found
            assert "SuccessfulCreate: create Claim data-nats-0 Pod nats-0 in StatefulSet nats success" in found

    run_virtual(main())


def test_a_pod_that_goes_comes_back_to_its_volume_and_claims_stay_when_scaled() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(STATEFUL_SETS, a_set(replicas=2))
            await w.until(lambda: ready(w, 2))
            before = await w.client.get(PODS, "nats-0", "default")
            volume = (await w.client.get(PERSISTENT_VOLUME_CLAIMS, "data-nats-0", "default"))["spec"]["volumeName"]
            await w.client.delete(PODS, "nats-0", "default")
            await asyncio.sleep(5)
            after = await w.client.get(PODS, "nats-0", "default")
            assert after["metadata"]["uid"] != before["metadata"]["uid"]
            assert is_ready(after)
            claim = await w.client.get(PERSISTENT_VOLUME_CLAIMS, "data-nats-0", "default")
            assert claim["spec"]["volumeName"] == volume
            await w.client.patch(STATEFUL_SETS, "nats", {"spec": {"replicas": 0}}, "default")
            await w.until(lambda: ready(w, 0))
            assert len(await w.items(PERSISTENT_VOLUME_CLAIMS)) == 2

    run_virtual(main())


def test_an_update_goes_down_from_the_highest_and_stops_at_the_partition() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(STATEFUL_SETS, a_set())
            await w.until(lambda: ready(w, 3))
            deleted: list[str] = []

            def look(type: str, pod: Obj, old: Obj | None) -> None:
                if type == "deleted":
                    deleted.append(pod["metadata"]["name"])

            w.factory.informer(PODS).add_handler(look)
            patch = {
                "spec": {
                    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}},
                    "template": {"spec": {"containers": [{"name": "main", "image": "shop/web:v2"}]}},
                }
            }
            await w.client.patch(STATEFUL_SETS, "nats", patch, "default", type="strategic")
            await asyncio.sleep(10)
            assert deleted == ["nats-2"]
            # A pod below the partition that dies comes back as it was.
            await w.client.delete(PODS, "nats-0", "default")
            await asyncio.sleep(5)
            image = (await w.client.get(PODS, "nats-0", "default"))["spec"]["containers"][0]["image"]
            assert image == "shop/web:v1"
            await w.client.patch(
                STATEFUL_SETS, "nats", {"spec": {"updateStrategy": {"rollingUpdate": None}}}, "default"
            )
            await w.until(lambda: ready(w, 3, "shop/web:v2"))
            assert deleted == ["nats-2", "nats-0", "nats-1", "nats-0"]
            await asyncio.sleep(1)
            status = (await w.client.get(STATEFUL_SETS, "nats", "default"))["status"]
            assert status["currentRevision"] == status["updateRevision"]
            assert status["currentReplicas"] == status["updatedReplicas"] == status["availableReplicas"] == 3
            assert sorted(one["revision"] for one in await w.items(CONTROLLER_REVISIONS)) == [1, 2]

    run_virtual(main())


def test_a_claim_is_provisioned_and_reclaimed() -> None:
    async def main() -> None:
        async with world() as w:
            directories = await start(w)
            loop = asyncio.get_running_loop()
            started = loop.time()
            await w.client.create(STORAGE_CLASSES, a_class("now", "Immediate"))
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim(storageClassName="now"))
            await w.until(lambda: _is(w, PERSISTENT_VOLUME_CLAIMS, "data", "Bound"))
            assert loop.time() - started < 0.1
            claim = await w.client.get(PERSISTENT_VOLUME_CLAIMS, "data", "default")
            name = claim["spec"]["volumeName"]
            assert claim["status"]["capacity"] == {"storage": "1Gi"}
            volume = await w.client.get(PERSISTENT_VOLUMES, name)
            assert volume["spec"]["hostPath"]["path"] == f"/volumes/{name}"
            assert volume["status"]["phase"] == "Bound"
            assert await w.reasons("data") == [f"ProvisioningSucceeded: Successfully provisioned volume {name}"]
            await w.client.delete(PERSISTENT_VOLUME_CLAIMS, "data", "default")
            await asyncio.sleep(2)
            assert not await w.items(PERSISTENT_VOLUMES, None)
            assert not directories.there

    run_virtual(main())


async def _is(w: World, gvr: Any, name: str, wanted: str) -> bool:
    return await phase(w, gvr, name) == wanted


def test_a_claim_in_use_is_protected() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
            pod: Obj = {"apiVersion": "v1", "kind": "Pod", **pod_template("one")}
            pod["metadata"] = {**pod["metadata"], "name": "one", "namespace": "default"}
            pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
            await w.client.create(PODS, pod)
            await w.until(lambda: ready(w, 1))
            annotations = (await w.client.get(PERSISTENT_VOLUME_CLAIMS, "data", "default"))["metadata"]["annotations"]
            assert annotations["volume.kubernetes.io/storage-provisioner"] == "wherry.dev/directory"
            await w.client.delete(PERSISTENT_VOLUME_CLAIMS, "data", "default")
            await asyncio.sleep(30)
            assert await w.get(PERSISTENT_VOLUME_CLAIMS, "data") is not None
            # Also one that has ended holds it, as long as it is there.
            ended = {"status": {"phase": "Succeeded"}}
            await w.client.patch(PODS, "one", ended, "default", type="merge", subresource="status")
            await asyncio.sleep(30)
            assert await w.get(PERSISTENT_VOLUME_CLAIMS, "data") is not None
            await w.client.delete(PODS, "one", "default")
            await asyncio.sleep(3)
            assert await w.get(PERSISTENT_VOLUME_CLAIMS, "data") is None

    run_virtual(main())


def test_a_pod_without_a_node_protects_no_claim() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
            pod: Obj = {"apiVersion": "v1", "kind": "Pod", **pod_template("one")}
            pod["metadata"] = {**pod["metadata"], "name": "one", "namespace": "default"}
            claim = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
            pod["spec"] |= {"volumes": [claim], "nodeSelector": {"disk": "ssd"}}
            await w.client.create(PODS, pod)
            await asyncio.sleep(5)
            await w.client.delete(PERSISTENT_VOLUME_CLAIMS, "data", "default")
            await asyncio.sleep(1)
            assert await w.get(PERSISTENT_VOLUME_CLAIMS, "data") is None

    run_virtual(main())


def test_volumes_of_others_are_asked_for_by_name() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            theirs = {**a_class("fast", "Immediate"), "provisioner": "rancher.io/local-path"}
            await w.client.create(STORAGE_CLASSES, theirs)
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim(storageClassName="fast"))
            await asyncio.sleep(1)
            claim = await w.client.get(PERSISTENT_VOLUME_CLAIMS, "data", "default")
            for key in ("volume.beta.kubernetes.io", "volume.kubernetes.io"):
                assert claim["metadata"]["annotations"][f"{key}/storage-provisioner"] == "rancher.io/local-path"
            assert claim["status"]["phase"] == "Pending"
            assert [text.split(":")[0] for text in await w.reasons("data")] == ["ExternalProvisioning"]

    run_virtual(main())


def test_volumes_made_by_hand_and_claims_without_any() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim("mine", storageClassName=""))
            await asyncio.sleep(2)
            assert await phase(w, PERSISTENT_VOLUME_CLAIMS, "mine") == "Pending"
            text = "no persistent volumes available for this claim and no storage class is set"
            assert await w.reasons("mine") == [f"FailedBinding: {text}"]
            for name, size in (("big", "10Gi"), ("fits", "2Gi"), ("small", "1Mi")):
                spec = {
                    "capacity": {"storage": size},
                    "accessModes": ["ReadWriteOnce"],
                    "hostPath": {"path": f"/srv/{name}"},
                    "persistentVolumeReclaimPolicy": "Retain",
                }
                volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
                if name != "fits":
                    await w.client.create(PERSISTENT_VOLUMES, volume)
                    continue
                volume["spec"]["claimRef"] = {"namespace": "default", "name": "mine"}
                await w.client.create(PERSISTENT_VOLUMES, volume)
            await w.until(lambda: _is(w, PERSISTENT_VOLUME_CLAIMS, "mine", "Bound"))
            await asyncio.sleep(1)
            name = (await w.client.get(PERSISTENT_VOLUME_CLAIMS, "mine", "default"))["spec"]["volumeName"]
            assert name in ("big", "fits")
            await w.client.delete(PERSISTENT_VOLUME_CLAIMS, "mine", "default")
            await asyncio.sleep(2)
            assert await phase(w, PERSISTENT_VOLUMES, name, None) == "Released"

    run_virtual(main())


def test_a_class_may_wait_for_the_first_consumer() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(STORAGE_CLASSES, a_class("late", "WaitForFirstConsumer"))
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim(storageClassName="late"))
            await asyncio.sleep(5)
            assert await phase(w, PERSISTENT_VOLUME_CLAIMS, "data") == "Pending"
            pod: Obj = {"apiVersion": "v1", "kind": "Pod", **pod_template("one")}
            pod["metadata"] = {**pod["metadata"], "name": "one", "namespace": "default"}
            pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
            await w.client.create(PODS, pod)
            await w.until(lambda: ready(w, 1), 2)

    run_virtual(main())


def test_directories_on_the_host(tmp_path: Path) -> None:
    async def main() -> None:
        directories = persistent_volume.HostDirectories(tmp_path / "volumes")
        path = Path(await directories.create("pvc-1"))
        assert path.is_dir()
        (path / "file").write_text("x")
        assert await directories.create("pvc-1") == str(path)
        assert (path / "file").exists()
        await directories.remove("pvc-1")
        await directories.remove("pvc-1")
        assert not path.exists()

    asyncio.run(main())
