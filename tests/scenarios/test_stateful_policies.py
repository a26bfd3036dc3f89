"""What a StatefulSet can be told about order, updates, numbers and its claims."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from test_stateful import a_set, start
from world import World, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_QUOTAS, STATEFUL_SETS
from wherry.api.types import Obj
from wherry.reconcile.pods import is_ready

IMAGE = "/spec/template/spec/containers/0/image"


def slow(statefulset: Obj, **annotations: str) -> Obj:
    metadata = statefulset["spec"]["template"]["metadata"]
    metadata["annotations"] = {f"test/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return statefulset


async def change(w: World, **spec: Any) -> None:
    await w.client.patch(STATEFUL_SETS, "nats", {"spec": spec}, "default", type="merge")


async def update(w: World, image: str) -> None:
    patch = [{"op": "replace", "path": IMAGE, "value": image}]
    await w.client.patch(STATEFUL_SETS, "nats", patch, "default", type="json")


async def images(w: World) -> dict[str, str]:
    return {one["metadata"]["name"]: one["spec"]["containers"][0]["image"] for one in await w.items(PODS)}


async def available(w: World, *numbers: int, seconds: float = 120) -> Obj:
    """Until exactly the pods of these numbers are there and available, and the set's status says so."""

    async def done() -> bool:
        one = await w.client.get(STATEFUL_SETS, "nats", "default")
        names = {pod["metadata"]["name"] for pod in await w.items(PODS) if is_ready(pod)}
        seen = one["status"].get("observedGeneration") == one["metadata"]["generation"]
        return seen and names == {f"nats-{n}" for n in numbers} and one["status"]["availableReplicas"] == len(numbers)

    await w.until(done, seconds)
    found: Obj = (await w.client.get(STATEFUL_SETS, "nats", "default"))["status"]
    return found


def claims_left(policy: Obj) -> list[str]:
    async def main() -> list[str]:
        async with world() as w:
            await start(w)
            await w.client.create(STATEFUL_SETS, a_set(2, persistentVolumeClaimRetentionPolicy=policy))
            await available(w, 0, 1)
            await change(w, replicas=1)
            await available(w, 0)
            await asyncio.sleep(10)
            scaled = [one["metadata"]["name"] for one in await w.items(PERSISTENT_VOLUME_CLAIMS)]
            await w.client.delete(STATEFUL_SETS, "nats", "default", propagation="Background")
            await asyncio.sleep(30)
            left = [one["metadata"]["name"] for one in await w.items(PERSISTENT_VOLUME_CLAIMS)]
            return [f"{len(scaled)} {len(left)}"]

    return run_virtual(main())


@pytest.mark.parametrize(
    ("deleted", "scaled", "left"),
    [
        ("Retain", "Retain", "2 2"),
        ("Delete", "Retain", "2 0"),
        ("Retain", "Delete", "1 1"),
        ("Delete", "Delete", "1 0"),
    ],
)
def test_what_becomes_of_claims(deleted: str, scaled: str, left: str) -> None:
    assert claims_left({"whenDeleted": deleted, "whenScaled": scaled}) == [left]


def test_the_retention_policy_may_change_later() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(STATEFUL_SETS, a_set(2))
            await available(w, 0, 1)
            await change(w, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete", "whenScaled": "Retain"})
            await w.until(lambda: owned(w, "StatefulSet"))
            await change(w, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"})
            await w.until(lambda: owned(w, None))

    async def owned(w: World, kind: str | None) -> bool:
        claims = await w.items(PERSISTENT_VOLUME_CLAIMS)
        return {(one["metadata"].get("ownerReferences") or [{}])[0].get("kind") for one in claims} == {kind}

    run_virtual(main())


def test_parallel_pods_do_not_wait_for_each_other() -> None:
    async def main(policy: str) -> float:
        async with world() as w:
            await start(w)
            begin = asyncio.get_running_loop().time()
            await w.client.create(STATEFUL_SETS, slow(a_set(4, podManagementPolicy=policy), ready_seconds="10"))
            await available(w, 0, 1, 2, 3)
            return asyncio.get_running_loop().time() - begin

    assert run_virtual(main("Parallel")) < 15
    assert run_virtual(main("OrderedReady")) > 40


def test_numbers_may_start_elsewhere() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(STATEFUL_SETS, a_set(2, ordinals={"start": 5}))
            await available(w, 5, 6)
            await change(w, ordinals={"start": 6})
            await available(w, 6, 7)

    run_virtual(main())


def test_on_delete_waits_for_the_user() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(STATEFUL_SETS, a_set(2, updateStrategy={"type": "OnDelete"}))
            await available(w, 0, 1)
            await update(w, "shop/web:v2")
            await asyncio.sleep(60)
            assert set((await images(w)).values()) == {"shop/web:v1"}
            await w.client.delete(PODS, "nats-0", "default")
            await asyncio.sleep(10)
            assert await images(w) == {"nats-0": "shop/web:v2", "nats-1": "shop/web:v1"}

    run_virtual(main())


@pytest.mark.parametrize(("unavailable", "fewest"), [(1, 3), (2, 2), ("50%", 2)])
def test_an_update_keeps_to_max_unavailable(unavailable: int | str, fewest: int) -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable}}
            wanted = a_set(4, updateStrategy=rolling, podManagementPolicy="Parallel", minReadySeconds=3)
            await w.client.create(STATEFUL_SETS, wanted)
            await available(w, 0, 1, 2, 3)
            low, pods = 4, w.factory.informer(PODS)

            def look(type: str, pod: Obj, old: Obj | None) -> None:
                nonlocal low
                low = min(low, sum(is_ready(one) for one in pods.list("default")))

            pods.add_handler(look)
            await update(w, "shop/web:v2")
            await w.until(lambda: all_new(w), 300)
            found = await available(w, 0, 1, 2, 3)
            assert low == fewest
            assert found["currentRevision"] == found["updateRevision"]

    async def all_new(w: World) -> bool:
        return set((await images(w)).values()) == {"shop/web:v2"}

    run_virtual(main())


def test_old_revisions_are_forgotten_beyond_the_limit_and_one_can_come_back() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(STATEFUL_SETS, a_set(1, revisionHistoryLimit=2))
            await available(w, 0)
            for version in range(2, 7):
                await update(w, f"shop/web:v{version}")
                await w.until(lambda version=version: has(w, version))
                await available(w, 0)
            await asyncio.sleep(5)
            revisions = sorted(one["revision"] for one in await w.items(CONTROLLER_REVISIONS))
            assert revisions == [4, 5, 6]
            await update(w, "shop/web:v5")  # the one before the last: `kubectl rollout undo`
            await w.until(lambda: has(w, 5))
            await available(w, 0)
            assert sorted(one["revision"] for one in await w.items(CONTROLLER_REVISIONS)) == [4, 6, 7]

    async def has(w: World, version: int) -> bool:
        return (await images(w)).get("nats-0") == f"shop/web:v{version}"

    run_virtual(main())


def test_a_pod_that_failed_is_made_again() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(STATEFUL_SETS, a_set(1))
            await available(w, 0)
            before = (await w.client.get(PODS, "nats-0", "default"))["metadata"]["uid"]
            patch = {"status": {"phase": "Failed"}}
            await w.client.patch(PODS, "nats-0", patch, "default", type="merge", subresource="status")

            async def another() -> bool:
                found = await w.get(PODS, "nats-0")
                return found is not None and found["metadata"]["uid"] != before and is_ready(found)

            await w.until(another)
            assert "SuccessfulDelete: delete Pod nats-0 in StatefulSet nats successful" in await w.reasons("nats")

    run_virtual(main())


def test_a_member_has_its_labels_whoever_takes_them_away() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(STATEFUL_SETS, a_set(1))
            await available(w, 0)
            key = "statefulset.kubernetes.io/pod-name"
            await w.client.patch(PODS, "nats-0", {"metadata": {"labels": {key: None}}}, "default", type="merge")

            async def restored() -> bool:
                pod = await w.client.get(PODS, "nats-0", "default")
                return bool(pod["metadata"]["labels"].get(key) == "nats-0")

            await w.until(restored)
            text = "SuccessfulUpdate: update Pod nats-0 in StatefulSet nats successful"
            assert text in await w.reasons("nats")

    run_virtual(main())


def test_what_a_quota_refuses_is_told_and_the_status_counts_the_rest() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            hard = {"pods": "2", "persistentvolumeclaims": "3"}
            quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}}
            await w.client.create(RESOURCE_QUOTAS, quota, "default")
            await w.client.create(STATEFUL_SETS, a_set(5, podManagementPolicy="Parallel"))
            await asyncio.sleep(10)
            status = (await w.client.get(STATEFUL_SETS, "nats", "default"))["status"]
            assert (status["replicas"], status["readyReplicas"], status["observedGeneration"]) == (2, 2, 1)
            told = "\n".join(await w.reasons("nats"))
            assert "FailedCreate: create Pod nats-2 in StatefulSet nats failed error: pods " in told
            over = 'persistentvolumeclaims "data-nats-3" is forbidden: exceeded quota: q, '
            assert (
                f"FailedCreate: create Claim data-nats-3 for Pod nats-3 in StatefulSet nats failed error: {over}"
                in told
            )
            text = "create Pod nats-3 in StatefulSet nats failed error: failed to create PVC data-nats-3: "
            assert f"FailedCreate: {text}{over}" in told

    run_virtual(main())


def test_a_claim_that_is_missing_is_made_again_for_a_pod_that_waits() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            statefulset = a_set(1)
            statefulset["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
            await w.client.create(STATEFUL_SETS, statefulset)
            pod = await w.until(lambda: w.get(PODS, "nats-0"))
            before = (await w.client.get(PERSISTENT_VOLUME_CLAIMS, "data-nats-0", "default"))["metadata"]["uid"]
            await w.client.delete(PERSISTENT_VOLUME_CLAIMS, "data-nats-0", "default")

            async def again() -> bool:
                found = await w.get(PERSISTENT_VOLUME_CLAIMS, "data-nats-0")
                return found is not None and found["metadata"]["uid"] != before

            await w.until(again)
            assert (await w.client.get(PODS, "nats-0", "default"))["metadata"]["uid"] == pod["metadata"]["uid"]

    run_virtual(main())


def test_a_claim_that_is_going_is_waited_for() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(STATEFUL_SETS, a_set(1))
            await available(w, 0)
            held = {"metadata": {"finalizers": ["example.com/backup"]}}
            claim = (PERSISTENT_VOLUME_CLAIMS, "data-nats-0")
            await w.client.patch(*claim, held, "default", type="merge")
            await w.client.delete(*claim, "default")
            await w.client.delete(PODS, "nats-0", "default")
            await asyncio.sleep(20)
            assert await w.items(PODS) == []
            going = "create Pod nats-0 in StatefulSet nats failed error: pvc data-nats-0 is being deleted"
            assert f"FailedCreate: {going}" in await w.reasons("nats")
            await w.client.patch(*claim, {"metadata": {"finalizers": None}}, "default", type="merge")
            await available(w, 0)

    run_virtual(main())


def test_scaled_in_and_out_at_once_a_pod_does_not_take_the_claim_that_goes() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
            await w.client.create(STATEFUL_SETS, a_set(2, persistentVolumeClaimRetentionPolicy=policy))
            await available(w, 0, 1)
            before = (await w.client.get(PERSISTENT_VOLUME_CLAIMS, "data-nats-1", "default"))["metadata"]["uid"]
            await change(w, replicas=1)
            await w.until(lambda: len(w.factory.informer(PODS).list("default")) == 1)
            await change(w, replicas=2)
            await available(w, 0, 1)
            claim = await w.client.get(PERSISTENT_VOLUME_CLAIMS, "data-nats-1", "default")
            assert claim["metadata"]["uid"] != before
            assert claim["status"]["phase"] == "Bound"

    run_virtual(main())
