"""What the tasks and tutorials of Kubernetes' site show by example, told again in our own words and played through."""

from __future__ import annotations

import asyncio

import pytest
from test_autoscaling import an_autoscaler, sized
from test_documented_stories import run
from test_quotas import a_pod
from test_stateful import a_set, start
from test_stateful_policies import available
from world import World, a_deployment, pod_template, world

from wherry.aio.virtual import run_virtual
from wherry.api.errors import StatusError
from wherry.api.resources import (
    DEPLOYMENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    JOBS,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
)
from wherry.api.types import GVR, Obj
from wherry.controllers import horizontal_pod_autoscaler
from wherry.reconcile.pods import is_ready

LIMIT_RANGES = GVR("", "v1", "limitranges")


async def uids(w: World) -> dict[str, str]:
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in await w.items(PODS)}


def test_stateful_sets_tutorial_a_set_is_deleted_without_its_pods_and_made_again() -> None:
    """A pod deleted meanwhile does not come back; then the set makes it anew, and takes the other as it is."""

    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(STATEFUL_SETS, a_set(2))
            await available(w, 0, 1)
            before = await uids(w)
            await w.client.delete(STATEFUL_SETS, "nats", "default", propagation="Orphan")
            await asyncio.sleep(5)
            await w.client.delete(PODS, "nats-0", "default")
            await asyncio.sleep(30)
            assert await uids(w) == {"nats-1": before["nats-1"]}
            await w.client.create(STATEFUL_SETS, a_set(2))
            await available(w, 0, 1)
            after = await uids(w)
            assert after["nats-1"] == before["nats-1"]
            assert after["nats-0"] != before["nats-0"]
            claims = await w.items(PERSISTENT_VOLUME_CLAIMS)
            assert sorted(one["metadata"]["name"] for one in claims) == ["data-nats-0", "data-nats-1"]

    run_virtual(main())


def test_stateful_sets_tutorial_scaling_down_waits_for_the_highest_to_be_gone() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            slow = a_set(3)
            slow["spec"]["template"]["metadata"]["annotations"] = {"test/stop-seconds": "10"}
            await w.client.create(STATEFUL_SETS, slow)
            await available(w, 0, 1, 2)
            await w.client.patch(STATEFUL_SETS, "nats", {"spec": {"replicas": 1}}, "default", type="merge")
            await asyncio.sleep(5)
            going = [one["metadata"]["name"] for one in await w.items(PODS) if "deletionTimestamp" in one["metadata"]]
            assert going == ["nats-2"]
            await asyncio.sleep(10)
            going = [one["metadata"]["name"] for one in await w.items(PODS) if "deletionTimestamp" in one["metadata"]]
            assert going == ["nats-1"]
            await available(w, 0)

    run_virtual(main())


def test_autoscaling_walkthrough_load_comes_and_goes() -> None:
    """One pod, 200 thousandths of a core requested, half of it the target: load makes it many, its end one again."""

    async def main() -> None:
        async with world() as w:
            run(w, w.add(horizontal_pod_autoscaler, scheme=w.scheme, sync_seconds=15))
            php = sized(1)
            php["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "200m"}}
            await w.client.create(DEPLOYMENTS, php)
            await w.rolled_out("web")
            w.usage["web"] = 0
            await w.client.create(HORIZONTAL_POD_AUTOSCALERS, an_autoscaler(10))
            await asyncio.sleep(120)

            async def shown() -> tuple[int, int]:
                status = (await w.client.get(HORIZONTAL_POD_AUTOSCALERS, "web", "default"))["status"]
                cpu = status["currentMetrics"][0]["resource"]["current"]
                return cpu["averageUtilization"], status["currentReplicas"]

            assert await shown() == (0, 1)
            load = 610  # 305 % of what it requests, for one pod alone

            async def share() -> None:
                while True:
                    w.usage["web"] = load // max(sum(is_ready(pod) for pod in w.factory.informer(PODS).list()), 1)
                    await asyncio.sleep(1)

            w.started.append(asyncio.create_task(share()))
            await asyncio.sleep(240)
            assert await shown() == (43, 7)
            load = 0
            await asyncio.sleep(250)
            assert await shown() == (0, 7)
            await asyncio.sleep(120)
            assert await shown() == (0, 1)

    run_virtual(main())


@pytest.mark.parametrize(
    ("request_", "limit", "refused"),
    [
        ("600Mi", "800Mi", ""),
        ("800Mi", "1536Mi", "maximum memory usage per Container is 1Gi, but limit is 1536Mi"),
        ("100Mi", "800Mi", "minimum memory usage per Container is 500Mi, but request is 100Mi"),
        ("", "", ""),
    ],
)
def test_limits_of_memory_task_bounds_and_what_pods_get_that_say_nothing(
    request_: str, limit: str, refused: str
) -> None:
    async def main() -> None:
        async with world() as w:
            limits = [{"type": "Container", "max": {"memory": "1Gi"}, "min": {"memory": "500Mi"}}]
            metadata = {"name": "mem", "namespace": "default"}
            bounds = {"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": limits}}
            await w.client.create(LIMIT_RANGES, bounds)
            pod = a_pod("demo")
            if limit:
                amounts = {"limits": {"memory": limit}, "requests": {"memory": request_}}
                pod["spec"]["containers"][0]["resources"] = amounts
            if refused:
                with pytest.raises(StatusError, match=f'pods "demo" is forbidden: {refused}$'):
                    await w.client.create(PODS, pod)
                return
            made = await w.client.create(PODS, pod)
            found = made["spec"]["containers"][0]["resources"]
            assert (found["requests"]["memory"], found["limits"]["memory"]) == (request_ or "1Gi", limit or "1Gi")

    run_virtual(main())


def test_pod_failures_task_a_bug_ends_the_job_at_once_and_a_lost_node_costs_no_try() -> None:
    async def main() -> None:
        async with world() as w:
            rules = [
                {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]}},
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
            ]
            template = pod_template("work", run_seconds="20", exit_code="42")
            template["spec"]["restartPolicy"] = "Never"
            spec: Obj = {"completions": 8, "parallelism": 2, "backoffLimit": 0, "template": template}
            job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum", "namespace": "default"}}
            await w.client.create(JOBS, {**job, "spec": spec | {"podFailurePolicy": {"rules": rules}}})
            await asyncio.sleep(5)
            victim = (await w.items(PODS))[0]["metadata"]["name"]
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": victim, "namespace": "default"}}
            await w.client.create(PODS, body, "default", "eviction", victim)
            await asyncio.sleep(10)
            status = (await w.client.get(JOBS, "sum", "default"))["status"]
            assert (status["active"], status.get("failed", 0)) == (2, 0)
            await asyncio.sleep(30)
            ended = (await w.client.get(JOBS, "sum", "default"))["status"]["conditions"][-1]
            assert (ended["type"], ended["reason"]) == ("Failed", "PodFailurePolicy")
            assert ended["message"].endswith("failed with exit code 42 matching FailJob rule at index 0")

    run_virtual(main())


def test_namespaces_walkthrough_what_lives_in_one_is_not_seen_in_another() -> None:
    async def main() -> None:
        async with world() as w:
            for name in ("development", "production"):
                await w.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            snowflake = a_deployment("snowflake", replicas=2)
            snowflake["metadata"]["namespace"] = "development"
            await w.client.create(DEPLOYMENTS, snowflake)
            await asyncio.sleep(10)
            assert len(await w.items(PODS, "development")) == 2
            assert await w.items(PODS, "production") == []
            await w.client.delete(NAMESPACES, "development")
            await asyncio.sleep(30)
            assert await w.get(NAMESPACES, "development", "") is None
            assert await w.items(REPLICA_SETS, None) == []

    run_virtual(main())
