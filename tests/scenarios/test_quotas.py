"""ResourceQuota: the status follows what is there, and many writers at once do not get past the limit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from world import World, a_deployment, pod_template, world

from wherry.aio.virtual import run_virtual
from wherry.api.errors import StatusError
from wherry.api.resources import CONFIG_MAPS, DEPLOYMENTS, PODS, RESOURCE_QUOTAS
from wherry.api.types import Obj
from wherry.controllers import resource_quota
from wherry.reconcile.pods import is_finished


def a_quota(hard: dict[str, str], **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "quota", "namespace": "default"},
        "spec": {"hard": hard, **spec},
    }


def a_pod(name: str, cpu: str = "", **annotations: str) -> Obj:
    pod = {"apiVersion": "v1", "kind": "Pod", **pod_template("web", **annotations)}
    pod["metadata"] |= {"name": name, "namespace": "default"}
    if cpu:
        pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    return pod


async def start(w: World) -> None:
    w.started.append(asyncio.create_task(w.add(resource_quota, scheme=w.scheme).run()))


async def used(w: World, **wanted: str) -> Obj:
    keys = {key.replace("_", ".") if key.startswith("requests") else key: value for key, value in wanted.items()}

    async def done() -> Obj | None:
        status = (await w.client.get(RESOURCE_QUOTAS, "quota", "default")).get("status", {})
        return status if status.get("used") == keys else None

    found: Obj = await w.until(done)
    return found


def test_the_status_follows_pods_that_come_end_and_go() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(RESOURCE_QUOTAS, a_quota({"pods": "3", "requests.cpu": "2"}))
            assert (await used(w, pods="0", requests_cpu="0"))["hard"] == {"pods": "3", "requests.cpu": "2"}
            await w.client.create(PODS, a_pod("a", "500m"))
            await w.client.create(PODS, a_pod("b", "1", run_seconds="5"))
            await used(w, pods="2", requests_cpu="1500m")
            await used(w, pods="1", requests_cpu="500m")  # b has ended: it takes nothing
            await w.client.delete(PODS, "a", "default")
            await used(w, pods="0", requests_cpu="0")

    run_virtual(main())


def test_any_kind_is_counted_and_a_changed_quota_is_counted_anew() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=1))
            await w.client.create(
                RESOURCE_QUOTAS, a_quota({"count/deployments.apps": "5", "count/nothing.example": "1"})
            )
            await used(w, **{"count/deployments.apps": "1"})
            await w.client.create(DEPLOYMENTS, a_deployment("other", replicas=0))
            await used(w, **{"count/deployments.apps": "2"})
            patch = {
                "spec": {"hard": {"configmaps": "9", "count/deployments.apps": None, "count/nothing.example": None}}
            }
            await w.client.patch(RESOURCE_QUOTAS, "quota", patch, "default", type="merge")
            await used(w, configmaps="1")  # kube-root-ca.crt

    run_virtual(main())


def test_scopes_choose_which_pods_count() -> None:
    async def main(scope: str) -> None:
        async with world() as w:
            await start(w)
            await w.client.create(PODS, a_pod("effort"))
            await w.client.create(PODS, a_pod("burst", "1"))
            bounded = a_pod("bounded", "1")
            bounded["spec"]["activeDeadlineSeconds"] = 1000
            await w.client.create(PODS, bounded)
            await w.client.create(RESOURCE_QUOTAS, a_quota({"pods": "9"}, scopes=[scope]))
            await used(
                w, pods={"BestEffort": "1", "NotBestEffort": "2", "Terminating": "1", "NotTerminating": "2"}[scope]
            )

    for scope in ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating"):
        run_virtual(main(scope))


@pytest.mark.parametrize("seed", range(3))
def test_a_deployment_stops_at_the_quota_and_goes_on_when_there_is_room(seed: int) -> None:
    async def main() -> None:
        async with world(seed) as w:
            await start(w)
            await w.client.create(RESOURCE_QUOTAS, a_quota({"pods": "4"}))
            await w.client.create(DEPLOYMENTS, a_deployment("one", replicas=3))
            await w.client.create(DEPLOYMENTS, a_deployment("two", replicas=3))
            pods, refused, most = w.factory.informer(PODS), set(), 0

            def look(type: str, pod: Obj, old: Obj | None) -> None:
                nonlocal most
                most = max(most, sum(not is_finished(one) for one in pods.list("default")))

            pods.add_handler(look)

            async def writer(number: int) -> None:
                for turn in range(5):
                    await asyncio.sleep(w.rng.uniform(0, 1))
                    try:
                        await w.client.create(PODS, a_pod(f"p-{number}-{turn}", run_seconds="0.5"))
                    except StatusError as error:
                        refused.add(error.code)

            await asyncio.gather(*(writer(number) for number in range(5)))
            await used(w, pods="4")
            assert (most, refused) == (4, {403})
            await w.client.patch(RESOURCE_QUOTAS, "quota", {"spec": {"hard": {"pods": "6"}}}, "default", type="merge")
            await w.rolled_out("one", 600)
            await w.rolled_out("two", 600)
            await used(w, pods="6")

    run_virtual(main())


def test_pods_that_could_not_be_made_are_unavailable() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(RESOURCE_QUOTAS, a_quota({"pods": "2"}))
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=3))
            await asyncio.sleep(10)
            status = (await w.client.get(DEPLOYMENTS, "web", "default"))["status"]
            counts = {key: value for key, value in status.items() if key.endswith("Replicas") or key == "replicas"}
            assert counts == {
                "replicas": 2,
                "updatedReplicas": 2,
                "readyReplicas": 2,
                "availableReplicas": 2,
                "unavailableReplicas": 1,
                "terminatingReplicas": 0,
            }
            assert {one["type"]: one["status"] for one in status["conditions"]} == {
                "Available": "False",
                "Progressing": "True",
                "ReplicaFailure": "True",
            }

    run_virtual(main())


def test_config_maps_without_spec_are_counted() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(RESOURCE_QUOTAS, a_quota({"count/configmaps": "9"}))
            await w.until(lambda: w.items(CONFIG_MAPS))
            await used(w, **{"count/configmaps": "1"})

    run_virtual(main())


def test_only_cpu_and_memory_must_be_said() -> None:
    async def main() -> None:
        async with world() as w:
            amounts = ("requests.cpu", "limits.memory", "requests.ephemeral-storage", "requests.example.com/gpu")
            await w.client.create(RESOURCE_QUOTAS, a_quota(dict.fromkeys(amounts, "9")))
            with pytest.raises(StatusError, match=r"must specify limits.memory for: main; requests.cpu for: main$"):
                await w.client.create(PODS, a_pod("silent"))
            with pytest.raises(StatusError, match=r"must specify limits.memory for: main$"):
                await w.client.create(PODS, a_pod("half", "1"))
            whole = a_pod("whole")
            whole["spec"]["resources"] = {"requests": {"cpu": "1"}, "limits": {"memory": "1"}}
            await w.client.create(PODS, whole)
            spoken = a_pod("spoken", "1")
            spoken["spec"]["containers"][0]["resources"]["limits"] = {"memory": "1"}
            await w.client.create(PODS, spoken)

    run_virtual(main())
