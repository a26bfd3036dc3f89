"""Deployments through the whole control plane, in virtual time."""

from __future__ import annotations

import asyncio
import random

import pytest
from world import World, a_deployment, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import DEPLOYMENTS, ENDPOINT_SLICES, PODS, REPLICA_SETS, SERVICES
from wherry.api.types import Obj
from wherry.reconcile.pods import is_finished, is_ready, is_terminating


async def set_image(w: World, image: str, name: str = "web") -> None:
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}
    await w.client.patch(DEPLOYMENTS, name, patch, "default", type="strategic")


async def conditions(w: World, name: str = "web") -> dict[str, tuple[str, str]]:
    deployment = await w.client.get(DEPLOYMENTS, name, "default")
    return {c["type"]: (c["status"], c["reason"]) for c in deployment["status"].get("conditions", ())}


async def sizes(w: World) -> dict[str, int]:
    """image -> replicas asked for, of ReplicaSets with any."""
    found = {}
    for one in await w.items(REPLICA_SETS):
        if one["spec"]["replicas"]:
            found[one["spec"]["template"]["spec"]["containers"][0]["image"]] = one["spec"]["replicas"]
    return found


def test_apply_to_ready() -> None:
    async def main() -> None:
        async with world() as w:
            loop = asyncio.get_running_loop()
            started = loop.time()
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=3))
            await w.rolled_out("web")
            assert loop.time() - started < 0.5
            sets = await w.items(REPLICA_SETS)
            assert len(sets) == 1
            assert len(await w.items(PODS)) == 3
            deployment = await w.client.get(DEPLOYMENTS, "web", "default")
            assert await conditions(w) == {
                "Available": ("True", "MinimumReplicasAvailable"),
                "Progressing": ("True", "NewReplicaSetAvailable"),
            }
            assert deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
            name = sets[0]["metadata"]["name"]
            assert await w.reasons("web") == [f"ScalingReplicaSet: Scaled up replica set {name} from 0 to 3"]

    run_virtual(main())


def test_rolling_update_keeps_its_bounds_and_can_be_undone() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=4))
            await w.rolled_out("web")
            first = (await w.items(REPLICA_SETS))[0]
            watch = Bounds(w, lowest=3, highest=5)
            await set_image(w, "shop/web:v2")
            await w.rolled_out("web")
            assert await sizes(w) == {"shop/web:v2": 4}
            # kubectl rollout undo: the old template comes back under the old ReplicaSet, as a new revision.
            await set_image(w, "shop/web:v1")
            await w.rolled_out("web")
            watch.check()
            again = await w.client.get(REPLICA_SETS, first["metadata"]["name"], "default")
            annotations = again["metadata"]["annotations"]
            assert annotations["deployment.kubernetes.io/revision"] == "3"
            assert annotations["deployment.kubernetes.io/revision-history"] == "1"
            deployment = await w.client.get(DEPLOYMENTS, "web", "default")
            assert deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
            assert len(await w.items(REPLICA_SETS)) == 2

    run_virtual(main())


class Bounds:
    """Watches every pod change and remembers the worst."""

    def __init__(self, w: World, lowest: int, highest: int) -> None:
        self._pods = w.factory.informer(PODS)
        self._lowest, self._highest = lowest, highest
        self.ready_min, self.total_max = 10**9, 0
        self._pods.add_handler(self._look)

    def _look(self, type: str, pod: Obj, old: Obj | None) -> None:
        active = [pod for pod in self._pods.list("default") if not is_terminating(pod) and not is_finished(pod)]
        self.ready_min = min(self.ready_min, sum(is_ready(pod) for pod in active))
        self.total_max = max(self.total_max, len(active))

    def check(self) -> None:
        assert self.ready_min >= self._lowest, self.ready_min
        assert self.total_max <= self._highest, self.total_max


@pytest.mark.parametrize("seed", range(6))
def test_bounds_hold_whatever_the_speed_of_pods(seed: int) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        replicas = chance.randint(1, 9)
        surge, unavailable = chance.choice([(1, 0), (0, 1), (2, 1), ("50%", "25%"), ("100%", 0)])
        async with world(seed) as w:
            deployment = a_deployment(replicas=replicas)
            deployment["spec"]["strategy"] = {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable},
            }
            deployment["spec"]["minReadySeconds"] = chance.choice([0, 0, 3])
            await w.client.create(DEPLOYMENTS, deployment)
            await w.rolled_out("web")
            spread = int(surge[:-1]) * replicas / 100 if isinstance(surge, str) else surge
            missing = int(unavailable[:-1]) * replicas // 100 if isinstance(unavailable, str) else unavailable
            if missing == 0 and spread == 0:
                missing = 1
            bounds = Bounds(w, replicas - missing, replicas + int(-(-spread // 1)))
            for version in range(2, 5):
                seconds = {"start-seconds": str(chance.uniform(0, 5)), "stop-seconds": str(chance.uniform(0, 9))}
                patch = {
                    "spec": {
                        "template": {
                            "metadata": {"annotations": {f"test/{key}": value for key, value in seconds.items()}},
                            "spec": {"containers": [{"name": "main", "image": f"shop/web:v{version}"}]},
                        }
                    }
                }
                await w.client.patch(DEPLOYMENTS, "web", patch, "default", type="strategic")
                if chance.random() < 0.5:
                    await asyncio.sleep(chance.uniform(0, 6))
                    continue
                await w.rolled_out("web", 600)
            await w.rolled_out("web", 600)
            bounds.check()
            assert await sizes(w) == {"shop/web:v4": replicas}

    run_virtual(main())


def test_recreate_waits_for_the_last_old_pod() -> None:
    async def main() -> None:
        async with world() as w:
            deployment = a_deployment(replicas=2, annotations={"stop_seconds": "7"})
            deployment["spec"]["strategy"] = {"type": "Recreate"}
            await w.client.create(DEPLOYMENTS, deployment)
            await w.rolled_out("web")
            bounds = Bounds(w, 0, 2)
            images: set[frozenset[str]] = set()

            def look(type: str, pod: Obj, old: Obj | None) -> None:
                pods = w.factory.informer(PODS).list("default")
                images.add(frozenset(one["spec"]["containers"][0]["image"] for one in pods))

            w.factory.informer(PODS).add_handler(look)
            await set_image(w, "shop/web:v2")
            await w.rolled_out("web")
            bounds.check()
            assert frozenset({"shop/web:v1", "shop/web:v2"}) not in images
            assert await sizes(w) == {"shop/web:v2": 2}

    run_virtual(main())


def test_pause_and_resume() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=2))
            await w.rolled_out("web")
            await w.client.patch(DEPLOYMENTS, "web", {"spec": {"paused": True}}, "default")
            await set_image(w, "shop/web:v2")
            await asyncio.sleep(5)
            assert await sizes(w) == {"shop/web:v1": 2}
            assert (await conditions(w))["Progressing"] == ("Unknown", "DeploymentPaused")
            await w.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 5}}, "default")
            await w.until(lambda: _sizes_are(w, {"shop/web:v1": 5}))
            await w.client.patch(DEPLOYMENTS, "web", {"spec": {"paused": None}}, "default")
            await w.rolled_out("web")
            assert await sizes(w) == {"shop/web:v2": 5}
            assert (await conditions(w))["Progressing"] == ("True", "NewReplicaSetAvailable")

    run_virtual(main())


async def _sizes_are(w: World, wanted: dict[str, int]) -> bool:
    return await sizes(w) == wanted


def test_a_stuck_rollout_is_reported_and_keeps_what_runs() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=3, progressDeadlineSeconds=60))
            await w.rolled_out("web")
            patch = {"spec": {"template": {"metadata": {"annotations": {"test/ready-seconds": "1e9"}}}}}
            await w.client.patch(DEPLOYMENTS, "web", patch, "default")
            await asyncio.sleep(59)
            assert (await conditions(w))["Progressing"] == ("True", "ReplicaSetUpdated")
            await asyncio.sleep(5)
            assert (await conditions(w))["Progressing"] == ("False", "ProgressDeadlineExceeded")
            assert (await conditions(w))["Available"] == ("True", "MinimumReplicasAvailable")
            ready = [pod for pod in await w.items(PODS) if is_ready(pod)]
            assert len(ready) == 3

    run_virtual(main())


def test_scaling_in_the_middle_of_a_rollout_is_proportional() -> None:
    async def main() -> None:
        async with world() as w:
            deployment = a_deployment(replicas=10)
            deployment["spec"]["strategy"] = {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2},
            }
            await w.client.create(DEPLOYMENTS, deployment)
            await w.rolled_out("web")
            # The documentation's own example: stuck at 8 old and 5 new, scaled to 15, becomes 11 and 7.
            patch = {
                "spec": {
                    "template": {
                        "metadata": {"annotations": {"test/ready-seconds": "1e9"}},
                        "spec": {"containers": [{"name": "main", "image": "shop/web:v2"}]},
                    }
                }
            }
            await w.client.patch(DEPLOYMENTS, "web", patch, "default", type="strategic")
            await w.until(lambda: _sizes_are(w, {"shop/web:v1": 8, "shop/web:v2": 5}))
            await w.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 15}}, "default")
            await w.until(lambda: _sizes_are(w, {"shop/web:v1": 11, "shop/web:v2": 7}))

    run_virtual(main())


def test_history_is_limited() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=1, revisionHistoryLimit=2))
            for version in range(1, 7):
                await set_image(w, f"shop/web:v{version}")
                await w.rolled_out("web")
            await asyncio.sleep(5)
            revisions = sorted(
                int(one["metadata"]["annotations"]["deployment.kubernetes.io/revision"])
                for one in await w.items(REPLICA_SETS)
            )
            assert revisions == [4, 5, 6]

    run_virtual(main())


def test_a_service_follows_a_rollout() -> None:
    async def main() -> None:
        async with world() as w:
            service = {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
            }
            await w.client.create(SERVICES, service)
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=3))
            await w.rolled_out("web")

            async def addresses() -> set[str]:
                slices = await w.items(ENDPOINT_SLICES, labels="kubernetes.io/service-name=web")
                return {
                    address
                    for one in slices
                    for endpoint in one["endpoints"]
                    if endpoint["conditions"]["ready"]
                    for address in endpoint["addresses"]
                }

            async def right() -> bool:
                pods = {pod["status"].get("podIP") for pod in await w.items(PODS) if not is_terminating(pod)}
                return await addresses() == pods and len(pods) == 3

            await w.until(right)
            empty = []
            w.factory.informer(ENDPOINT_SLICES).add_handler(
                lambda type, one, old: (
                    empty.append(one) if not any(entry["conditions"]["ready"] for entry in one["endpoints"]) else None
                )
            )
            await set_image(w, "shop/web:v2")
            await w.rolled_out("web")
            await w.until(right)
            assert not empty

    run_virtual(main())
