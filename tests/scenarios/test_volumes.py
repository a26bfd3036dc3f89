"""Claims and volumes: who gets which, what grows, what is kept."""

from __future__ import annotations

from typing import Any

from test_stateful import a_claim, a_class, start
from world import World, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from wherry.api.types import Obj


def a_volume(name: str, size: str = "1Gi", labels: Obj | None = None, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": f"/data/{name}"},
            "storageClassName": "manual",
            **spec,
        },
    }


async def claim(w: World, phase: str, name: str = "data") -> Obj:
    async def done() -> bool:
        found = await w.get(PERSISTENT_VOLUME_CLAIMS, name)
        return found is not None and found.get("status", {}).get("phase") == phase

    await w.until(done)
    return await w.client.get(PERSISTENT_VOLUME_CLAIMS, name, "default")


async def volume(w: World, name: str, phase: str) -> Obj:
    async def done() -> bool:
        return (await w.client.get(PERSISTENT_VOLUMES, name)).get("status", {}).get("phase") == phase

    await w.until(done)
    return await w.client.get(PERSISTENT_VOLUMES, name)


def test_the_smallest_that_suits_by_labels_and_size() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            for name, size, tier in (
                ("big", "9Gi", "a"),
                ("fit", "2Gi", "a"),
                ("other", "2Gi", "b"),
                ("small", "1Mi", "a"),
            ):
                await w.client.create(PERSISTENT_VOLUMES, a_volume(name, size, {"tier": tier}))
            selector = {"matchLabels": {"tier": "a"}}
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim(storageClassName="manual", selector=selector))
            found = await claim(w, "Bound")
            assert found["spec"]["volumeName"] == "fit"
            assert found["status"]["capacity"] == {"storage": "2Gi"}
            await volume(w, "other", "Available")

    run_virtual(main())


def test_reserved_from_either_side() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            mine = {"namespace": "default", "name": "data"}
            await w.client.create(PERSISTENT_VOLUMES, a_volume("small"))
            await w.client.create(PERSISTENT_VOLUMES, a_volume("kept", "9Gi", claimRef=mine))
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim(storageClassName="manual"))
            assert (await claim(w, "Bound"))["spec"]["volumeName"] == "kept"
            await w.client.create(PERSISTENT_VOLUMES, a_volume("wanted", "9Gi"))
            named = a_claim("named", storageClassName="manual", volumeName="wanted")
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, named)
            await claim(w, "Bound", "named")
            assert (await volume(w, "wanted", "Bound"))["spec"]["claimRef"]["name"] == "named"
            late = a_claim("late", storageClassName="manual", volumeName="wanted")
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, late)
            text = 'FailedBinding: volume "wanted" already bound to a different claim.'

            async def told() -> bool:
                return text in await w.reasons("late")

            await w.until(told)
            await claim(w, "Pending", "late")

    run_virtual(main())


def test_retained_and_made_free_again_by_hand() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(PERSISTENT_VOLUMES, a_volume("kept"))
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim(storageClassName="manual"))
            await claim(w, "Bound")
            await w.client.delete(PERSISTENT_VOLUME_CLAIMS, "data", "default")
            await volume(w, "kept", "Released")
            await w.client.patch(PERSISTENT_VOLUMES, "kept", {"spec": {"claimRef": None}}, type="merge")
            await volume(w, "kept", "Available")
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim(storageClassName="manual"))
            await claim(w, "Bound")

    run_virtual(main())


def test_a_claim_grows() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(STORAGE_CLASSES, {**a_class("fast", "Immediate"), "allowVolumeExpansion": True})
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim(storageClassName="fast"))
            await claim(w, "Bound")
            patch = {"spec": {"resources": {"requests": {"storage": "5Gi"}}}}
            await w.client.patch(PERSISTENT_VOLUME_CLAIMS, "data", patch, "default", type="merge")

            async def grown() -> bool:
                return (await claim(w, "Bound"))["status"]["capacity"] == {"storage": "5Gi"}

            await w.until(grown)
            assert "VolumeResizeSuccessful: Resize volume succeeded" in await w.reasons("data")

    run_virtual(main())


def test_a_volume_that_vanishes_is_a_loss() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(PERSISTENT_VOLUMES, a_volume("gone"))
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim(storageClassName="manual"))
            await claim(w, "Bound")
            await w.client.patch(PERSISTENT_VOLUMES, "gone", {"metadata": {"finalizers": None}}, type="merge")
            await w.client.delete(PERSISTENT_VOLUMES, "gone")
            await claim(w, "Lost")
            text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            assert f"ClaimLost: {text}" in await w.reasons("data")

    run_virtual(main())
