"""What the pages about workloads show by example, told again in our own words and played through."""

from __future__ import annotations

import asyncio
from typing import Any

from test_disruptions import a_budget, evict, numbers
from test_quotas import a_pod, a_quota
from test_replication import a_controller
from world import NODE, World, a_deployment, pod_template, world

from wherry.aio.virtual import run_virtual
from wherry.api.errors import StatusError
from wherry.api.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    PRIORITY_CLASSES,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    STATEFUL_SETS,
)
from wherry.api.types import Obj
from wherry.controllers import daemonset, pod_disruption_budget, replicaset, resource_quota
from wherry.reconcile.pods import is_active, is_ready


def run(w: World, *controllers: Any) -> None:
    w.started += [asyncio.create_task(one.run()) for one in controllers]


async def ready(w: World, count: int) -> list[Obj]:
    async def done() -> bool:
        return len([one for one in await w.items(PODS) if is_ready(one) and is_active(one)]) == count

    await w.until(done)
    return [one for one in await w.items(PODS) if is_active(one)]


def test_replicasets_page_pods_that_match_are_acquired() -> None:
    """Bare pods with the labels of a ReplicaSet become its own; made after it has its number, they are ended."""

    async def main() -> None:
        async with world() as w:
            for name in ("pod1", "pod2"):
                await w.client.create(PODS, a_pod(name))
            await ready(w, 2)
            one = {**a_deployment(replicas=3), "kind": "ReplicaSet"}
            await w.client.create(REPLICA_SETS, one)
            pods = await ready(w, 3)
            assert {"pod1", "pod2"} < {pod["metadata"]["name"] for pod in pods}
            assert all(pod["metadata"]["ownerReferences"][0]["name"] == "web" for pod in pods)
            await w.client.create(PODS, a_pod("late"))

            async def ended() -> bool:
                return await w.get(PODS, "late") is None

            await w.until(ended)
            # Taking the label away takes the pod out, and another comes.
            await w.client.patch(PODS, "pod1", {"metadata": {"labels": {"app": "debug"}}}, "default", type="merge")
            await ready(w, 4)

    run_virtual(main())


def test_replication_controllers_page_deleted_without_their_pods() -> None:
    async def main() -> None:
        async with world() as w:
            run(w, replicaset.build_replication_controller(w.parts))
            await w.client.create(REPLICATION_CONTROLLERS, a_controller(2))
            await ready(w, 2)
            await w.client.delete(REPLICATION_CONTROLLERS, "old", "default", propagation="Orphan")
            await asyncio.sleep(5)
            assert await w.get(REPLICATION_CONTROLLERS, "old") is None
            assert len(await ready(w, 2)) == 2

    run_virtual(main())


def test_daemon_sets_page_a_log_collector_also_on_the_control_plane() -> None:
    """Nodes of the control plane are tainted; the collector tolerates that, an ordinary Deployment does not."""

    async def main() -> None:
        async with world(nodes=3) as w:
            run(w, w.add(daemonset))
            key = "node-role.kubernetes.io/control-plane"
            await w.client.patch(
                NODES, NODE, {"spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}}, type="merge"
            )
            template = pod_template("fluentd")
            template["spec"]["tolerations"] = [{"key": key, "operator": "Exists", "effect": "NoSchedule"}]
            spec = {"selector": {"matchLabels": {"app": "fluentd"}}, "template": template}
            metadata = {"name": "fluentd", "namespace": "default"}
            await w.client.create(
                DAEMON_SETS, {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": spec}
            )
            assert len({one["spec"]["nodeName"] for one in await ready(w, 3)}) == 3
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=4))
            pods = await ready(w, 7)
            web = {one["spec"]["nodeName"] for one in pods if one["metadata"]["labels"]["app"] == "web"}
            assert web == {f"{NODE}-1", f"{NODE}-2"}

    run_virtual(main())


def test_disruptions_page_three_nodes_are_upgraded_one_after_another() -> None:
    """Two nodes drained at once would leave one pod; the budget of two makes the second drain wait for the replacement."""

    async def main() -> None:
        async with world(nodes=3) as w:
            run(w, w.add(pod_disruption_budget, scheme=w.scheme))
            await w.client.create(DEPLOYMENTS, a_deployment(annotations={"start_seconds": "5", "stop_seconds": "2"}))
            await ready(w, 3)
            await w.client.create(POD_DISRUPTION_BUDGETS, a_budget(minAvailable=2))
            await numbers(w, 1, 3, 2, 3)
            a, b = [one["metadata"]["name"] for one in await ready(w, 3)][:2]
            assert await evict(w, a) is None
            error = await evict(w, b)
            assert error is not None
            assert error.code == 429
            tries = 0
            while error is not None:  # what kubectl drain does
                await asyncio.sleep(5)
                error = await evict(w, b)
                tries += 1
            assert tries >= 1
            await ready(w, 3)

    run_virtual(main())


def test_quotas_page_a_limit_for_each_priority() -> None:
    async def main() -> None:
        async with world() as w:
            run(w, w.add(resource_quota, scheme=w.scheme))
            for name, value in (("low", 1), ("high", 100)):
                one = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
                await w.client.create(PRIORITY_CLASSES, {**one, "value": value})
            expression = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
            quota = a_quota({"pods": "1", "cpu": "2"}, scopeSelector={"matchExpressions": [expression]})
            await w.client.create(RESOURCE_QUOTAS, quota)

            def of(name: str, priority: str) -> Obj:
                pod = a_pod(name, "500m")
                pod["spec"]["priorityClassName"] = priority
                return pod

            for number in range(3):
                await w.client.create(PODS, of(f"low-{number}", "low"))
            await w.client.create(PODS, of("high-0", "high"))
            try:
                await w.client.create(PODS, of("high-1", "high"))
            except StatusError as error:
                message = error.message
            assert "exceeded quota: quota, requested: pods=1, used: pods=1, limited: pods=1" in message

            async def counted() -> bool:
                status = (await w.client.get(RESOURCE_QUOTAS, "quota", "default")).get("status", {})
                return bool(status.get("used") == {"cpu": "500m", "pods": "1"})

            await w.until(counted)

    run_virtual(main())


def test_stateful_sets_tutorial_a_canary_by_partition() -> None:
    """Three replicas, staged behind a partition of 3, then one of them, then all; a deleted pod keeps its version."""

    async def main() -> None:
        async with world() as w:
            spec = {
                "replicas": 3,
                "serviceName": "web",
                "selector": {"matchLabels": {"app": "web"}},
                "template": pod_template(),
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 3}},
            }
            metadata = {"name": "web", "namespace": "default"}
            await w.client.create(
                STATEFUL_SETS, {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}
            )
            await ready(w, 3)
            patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "shop/web:v2"}]
            await w.client.patch(STATEFUL_SETS, "web", patch, "default", type="json")
            await w.client.delete(PODS, "web-2", "default")
            await asyncio.sleep(5)
            assert await versions(w) == ["v1", "v1", "v1"]
            await partition(w, 2)
            await w.until(lambda: are(w, "v1", "v1", "v2"))
            await w.client.delete(PODS, "web-1", "default")
            await asyncio.sleep(5)
            assert await versions(w) == ["v1", "v1", "v2"]
            await partition(w, 0)
            await w.until(lambda: are(w, "v2", "v2", "v2"))

    async def partition(w: World, number: int) -> None:
        patch = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": number}}}}
        await w.client.patch(STATEFUL_SETS, "web", patch, "default", type="merge")

    async def versions(w: World) -> list[str]:
        pods = sorted(await w.items(PODS), key=lambda one: one["metadata"]["name"])
        return [one["spec"]["containers"][0]["image"].partition(":")[2] for one in pods]

    async def are(w: World, *wanted: str) -> bool:
        return await versions(w) == list(wanted) and all(is_ready(one) for one in await w.items(PODS))

    run_virtual(main())


def test_jobs_page_a_work_queue_ends_when_one_pod_says_so() -> None:
    """No completions: pods work together; once one has succeeded no other is started, and the rest may finish."""

    async def main() -> None:
        async with world() as w:
            template = pod_template("worker", run_seconds="10")
            template["spec"]["restartPolicy"] = "Never"
            job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "queue", "namespace": "default"}}
            await w.client.create(JOBS, {**job, "spec": {"parallelism": 3, "template": template}})

            async def complete() -> bool:
                status = (await w.client.get(JOBS, "queue", "default")).get("status", {})
                return any(one["type"] == "Complete" for one in status.get("conditions", ()))

            await w.until(complete)
            status = (await w.client.get(JOBS, "queue", "default"))["status"]
            assert status["succeeded"] == len(await w.items(PODS)) == 3

    run_virtual(main())
