"""Everything at once: whatever is done to a Deployment, when it stops the world is as the Deployment says."""

from __future__ import annotations

import asyncio
import random

import pytest
from world import World, a_deployment, world

from wherry.aio.virtual import run_virtual
from wherry.api.errors import StatusError
from wherry.api.resources import DEPLOYMENTS, ENDPOINT_SLICES, PODS, REPLICA_SETS, SERVICES
from wherry.reconcile.pods import is_ready


async def disturb(w: World, chance: random.Random, version: list[int]) -> None:
    """One thing a person, a failing machine or another program may do."""
    pods, sets = await w.items(PODS), await w.items(REPLICA_SETS)
    match chance.randrange(8):
        case 0:
            await w.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": chance.randint(0, 8)}}, "default")
        case 1:
            version[0] += 1
            image = {"spec": {"containers": [{"name": "main", "image": f"shop/web:v{version[0]}"}]}}
            await w.client.patch(DEPLOYMENTS, "web", {"spec": {"template": image}}, "default", type="strategic")
        case 2 if pods:
            await w.client.delete(PODS, chance.choice(pods)["metadata"]["name"], "default")
        case 3 if pods:
            await w.client.delete(PODS, chance.choice(pods)["metadata"]["name"], "default", grace_seconds=0)
        case 4 if sets:
            await w.client.delete(REPLICA_SETS, chance.choice(sets)["metadata"]["name"], "default")
        case 5:
            await w.client.patch(DEPLOYMENTS, "web", {"spec": {"paused": chance.random() < 0.5}}, "default")
        case 6 if pods:
            patch = {"metadata": {"labels": {"app": "stolen"}}}
            await w.client.patch(PODS, chance.choice(pods)["metadata"]["name"], patch, "default")
        case 7 if pods:
            await w.client.patch(
                PODS,
                chance.choice(pods)["metadata"]["name"],
                {"status": {"phase": "Failed"}},
                "default",
                subresource="status",
            )


@pytest.mark.parametrize("seed", range(8))
def test_it_settles(seed: int) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        async with world(seed) as w:
            seconds = {"start_seconds": str(chance.uniform(0, 2)), "stop_seconds": str(chance.uniform(0, 4))}
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=3, annotations=seconds))
            service = {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
            }
            await w.client.create(SERVICES, service)
            version = [1]
            for _ in range(40):
                await asyncio.sleep(chance.choice([0, 0, 0.01, 0.5, 3]))
                try:
                    await disturb(w, chance, version)
                except StatusError as error:
                    if error.code not in (404, 409):
                        raise
            await w.client.patch(DEPLOYMENTS, "web", {"spec": {"paused": None, "replicas": 3}}, "default")
            await w.rolled_out("web", 300)
            await asyncio.sleep(30)
            await settled(w, version[0])
            writes = w.storage.revision
            await asyncio.sleep(3600)
            # Nothing to do means nothing is written: an hour of peace costs no revision.
            assert w.storage.revision == writes

    run_virtual(main())


async def settled(w: World, version: int) -> None:
    pods = await w.items(PODS, labels="app=web")
    alive = [pod for pod in pods if pod["status"].get("phase") not in ("Failed", "Succeeded")]
    assert len(alive) == 3
    assert all(is_ready(pod) for pod in alive)
    assert {pod["spec"]["containers"][0]["image"] for pod in alive} == {f"shop/web:v{version}"}
    deployment = await w.client.get(DEPLOYMENTS, "web", "default")
    assert deployment["status"]["updatedReplicas"] == deployment["status"]["replicas"] == 3
    (one,) = await w.items(ENDPOINT_SLICES)
    assert {endpoint["addresses"][0] for endpoint in one["endpoints"]} == {pod["status"]["podIP"] for pod in alive}
    # A pod whose label was taken away is released, and lives on without an owner.
    for pod in await w.items(PODS, labels="app=stolen"):
        assert not pod["metadata"].get("ownerReferences")
