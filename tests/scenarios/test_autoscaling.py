"""Autoscaling over virtual hours: out under load, back only after the window, never past its bounds."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from world import World, a_deployment, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import DEPLOYMENTS, EVENTS, HORIZONTAL_POD_AUTOSCALERS, PODS
from wherry.api.types import Obj
from wherry.controllers import horizontal_pod_autoscaler
from wherry.reconcile.pods import is_ready


def an_autoscaler(most: int = 10, target: int = 50, **spec: Any) -> Obj:
    metric = {"type": "Resource", "resource": {"name": "cpu"}}
    metric["resource"]["target"] = {"type": "Utilization", "averageUtilization": target}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 1,
            "maxReplicas": most,
            "metrics": [metric],
            **spec,
        },
    }


def sized(replicas: int) -> Obj:
    deployment = a_deployment(replicas=replicas)
    deployment["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    return deployment


async def replicas(w: World) -> int:
    return (await w.client.get(DEPLOYMENTS, "web", "default"))["spec"]["replicas"]


async def conditions(w: World) -> dict[str, tuple[str, str]]:
    hpa = await w.client.get(HORIZONTAL_POD_AUTOSCALERS, "web", "default")
    return {one["type"]: (one["status"], one["reason"]) for one in hpa["status"]["conditions"]}


async def start(w: World, count: int, hpa: Obj, **options: Any) -> None:
    controller = w.add(horizontal_pod_autoscaler, scheme=w.scheme, **options)
    w.started.append(asyncio.create_task(controller.run()))
    await w.client.create(DEPLOYMENTS, sized(count))
    await w.rolled_out("web")
    await w.client.create(HORIZONTAL_POD_AUTOSCALERS, hpa)


def test_out_within_three_seconds_and_back_after_the_window() -> None:
    async def main() -> None:
        async with world() as w:
            w.usage["web"] = 10
            await start(w, 1, an_autoscaler(), sync_seconds=1)
            await asyncio.sleep(120)
            assert await replicas(w) == 1
            assert await conditions(w) == {
                "AbleToScale": ("True", "ReadyForNewScale"),
                "ScalingActive": ("True", "ValidMetricFound"),
                "ScalingLimited": ("False", "DesiredWithinRange"),
            }
            w.usage["web"] = 200  # 200 % of the request against a target of 50 %: four times as many
            await asyncio.sleep(3)
            assert await replicas(w) >= 4
            w.usage["web"] = 50
            await asyncio.sleep(30)
            grown = await replicas(w)
            w.usage["web"] = 5
            await asyncio.sleep(250)
            assert await replicas(w) == grown
            assert (await conditions(w))["AbleToScale"][1] == "ScaleDownStabilized"
            await asyncio.sleep(80)
            assert await replicas(w) == 1
            hpa = await w.client.get(HORIZONTAL_POD_AUTOSCALERS, "web", "default")
            assert hpa["status"]["currentMetrics"][0]["resource"]["current"] == {
                "averageUtilization": 5,
                "averageValue": "5m",
            }
            found = await w.reasons("web")
            above = "reason: cpu resource utilization (percentage of request) above target"
            assert any(one.startswith("SuccessfulRescale: New size: ") and one.endswith(above) for one in found)
            assert any(one.endswith("New size: 1; reason: All metrics below target") for one in found)

    run_virtual(main())


def test_never_more_than_the_maximum() -> None:
    async def main() -> None:
        async with world() as w:
            w.usage["web"] = 1000
            await start(w, 2, an_autoscaler(most=5))
            await asyncio.sleep(600)
            assert await replicas(w) == 5
            assert (await conditions(w))["ScalingLimited"] == ("True", "TooManyReplicas")

    run_virtual(main())


def test_policies_bound_the_speed() -> None:
    async def main() -> None:
        async with world() as w:
            w.usage["web"] = 1000
            up = {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}
            await start(w, 2, an_autoscaler(behavior={"scaleUp": up}), sync_seconds=1)
            await asyncio.sleep(50)
            assert await replicas(w) == 3
            assert (await conditions(w))["ScalingLimited"] == ("True", "ScaleUpLimit")
            await asyncio.sleep(180)
            assert await replicas(w) == 6

    run_virtual(main())


def test_no_metrics_change_nothing_and_are_reported_as_often_as_kubernetes_looks() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w, 3, an_autoscaler())
            await asyncio.sleep(3600)
            assert await replicas(w) == 3
            assert (await conditions(w))["ScalingActive"] == ("False", "FailedGetResourceMetric")
            why = "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource"
            together = "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: "
            assert sorted(one for one in await w.reasons("web") if one.startswith("Failed")) == [
                f"FailedComputeMetricsReplicas: {together}{why} metrics API",
                f"FailedGetResourceMetric: {why} metrics API",
            ]
            counts = [one["count"] for one in await w.items(EVENTS) if one["reason"].startswith("Failed")]
            assert all(12 <= count <= 30 for count in counts), counts  # the recorder's filter takes most of the rest
            status = (await w.client.get(HORIZONTAL_POD_AUTOSCALERS, "web", "default"))["status"]
            assert (status["currentReplicas"], status["desiredReplicas"]) == (3, 0)

    run_virtual(main())


def test_a_target_at_zero_is_left_alone() -> None:
    async def main() -> None:
        async with world() as w:
            w.usage["web"] = 500
            await start(w, 0, an_autoscaler())
            await asyncio.sleep(60)
            assert await replicas(w) == 0
            assert (await conditions(w))["ScalingActive"] == ("False", "ScalingDisabled")

    run_virtual(main())


CPU: Obj = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
}
RATE: Obj = {
    "type": "Pods",
    "pods": {"metric": {"name": "requests_per_second"}, "target": {"type": "AverageValue", "averageValue": "10"}},
}


@pytest.mark.parametrize(("metrics", "seed"), [([CPU], 1), ([RATE], 2), ([CPU, RATE], 3)], ids=["cpu", "rate", "both"])
def test_twice_the_load_is_twice_the_replicas_within_three_seconds_and_nothing_flaps(
    metrics: list[Obj], seed: int
) -> None:
    """Load is shared by the pods that are there, and is never quite the same: one request costs 5 ms of a core, ten a
    second are what one pod should have."""

    async def main() -> None:
        async with world(seed) as w:
            chance = random.Random(seed)
            sizes: list[int] = []
            requests = 20.0

            async def load() -> None:
                while True:
                    pods = max(sum(is_ready(pod) for pod in w.factory.informer(PODS).list("default")), 1)
                    share = requests * chance.uniform(0.94, 1.06) / pods
                    w.rates["web"], w.usage["web"] = int(share * 1000), int(share * 5)
                    size = w.factory.informer(DEPLOYMENTS).list("default")
                    if size and (not sizes or sizes[-1] != size[0]["spec"]["replicas"]):
                        sizes.append(size[0]["spec"]["replicas"])
                    await asyncio.sleep(0.5)

            w.rates["web"], w.usage["web"] = 10_000, 50
            await start(w, 2, an_autoscaler(metrics=metrics), sync_seconds=1)
            w.started.append(asyncio.create_task(load()))
            await asyncio.sleep(600)
            assert sizes == [2]
            requests = 37.0
            await asyncio.sleep(3)
            assert await replicas(w) == 4
            await asyncio.sleep(900)
            assert sizes == [2, 4]
            requests = 17.0  # in fourths this is 1.7 pods, whatever the chance adds
            await asyncio.sleep(900)
            assert sizes == [2, 4, 2]

    run_virtual(main())
