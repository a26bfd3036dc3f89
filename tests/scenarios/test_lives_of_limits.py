"""The lives of what bounds and sizes others, and of claims and volumes, told as transcripts in `lives/`."""

from __future__ import annotations

import asyncio
from typing import Any

import test_disruptions as disruptions
import test_quotas as quotas
from test_autoscaling import an_autoscaler, sized
from test_stateful import a_claim
from test_stateful import start as with_volumes
from transcript import Transcript, recorded
from world import World, a_deployment, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import (
    DEPLOYMENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
)
from wherry.api.types import GVR, Obj
from wherry.controllers import horizontal_pod_autoscaler

COUNTS = {"deployments": ("Ready",), "replicasets": ("Desired", "Ready"), "pods": ("Ready", "Status")}


async def change(w: World, gvr: GVR, name: str, spec: dict[str, Any]) -> None:
    await w.client.patch(gvr, name, {"spec": spec}, "default", type="merge")


def test_a_disruption_budget() -> None:
    async def main() -> str:
        async with world() as w:
            told = Transcript(w, POD_DISRUPTION_BUDGETS, DEPLOYMENTS, PODS, columns=COUNTS)
            await disruptions.start(w, 3)
            await w.client.create(POD_DISRUPTION_BUDGETS, disruptions.a_budget(minAvailable=2))
            await told.after("created: two of three")
            first, second = (await disruptions.names(w))[:2]
            refused = [await disruptions.evict(w, first), await disruptions.evict(w, second)]
            codes = [error.code if error is not None else 201 for error in refused]
            await told.after(f"two are evicted at once: {codes[0]}, {codes[1]}", 0.5)
            await told.after("half a minute later")
            await change(w, POD_DISRUPTION_BUDGETS, "web", {"minAvailable": None, "maxUnavailable": "100%"})
            await told.after("updated: all may go")
            await w.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 0}}, "default", type="merge")
            await told.after("its pods are scaled away")
            await w.client.delete(POD_DISRUPTION_BUDGETS, "web", "default")
            await told.after("deleted")
            return told.text()

    assert run_virtual(main()) == recorded("poddisruptionbudget")


def test_an_autoscaler() -> None:
    async def main() -> str:
        async with world() as w:
            controller = w.add(horizontal_pod_autoscaler, scheme=w.scheme, sync_seconds=1)
            w.started.append(asyncio.create_task(controller.run()))
            await w.client.create(DEPLOYMENTS, sized(1))
            await w.rolled_out("web")
            told = Transcript(w, HORIZONTAL_POD_AUTOSCALERS, DEPLOYMENTS, columns=COUNTS)
            await w.client.create(HORIZONTAL_POD_AUTOSCALERS, an_autoscaler(most=4))
            await told.after("created, and nobody measures yet", 5)
            w.usage["web"] = 40
            await told.after("40 of 100 thousandths of a core, 50 are wanted")
            w.usage["web"] = 200
            await told.after("200", 5)
            await told.after("half a minute later")
            w.usage["web"] = 5
            await told.after("5")
            await told.after("five minutes later", 300)
            await change(w, HORIZONTAL_POD_AUTOSCALERS, "web", {"minReplicas": 2})
            await told.after("updated: never fewer than two")
            w.usage.clear()
            await told.after("nobody measures any more")
            await w.client.delete(HORIZONTAL_POD_AUTOSCALERS, "web", "default")
            await told.after("deleted")
            return told.text()

    assert run_virtual(main()) == recorded("horizontalpodautoscaler")


def test_a_quota() -> None:
    async def main() -> str:
        async with world() as w:
            await quotas.start(w)
            told = Transcript(w, RESOURCE_QUOTAS, REPLICA_SETS, columns={**COUNTS, "resourcequotas": ("Request",)})
            await w.client.create(RESOURCE_QUOTAS, quotas.a_quota({"pods": "2"}))
            await told.after("created: two pods")
            await w.client.create(REPLICA_SETS, {**a_deployment(replicas=3), "kind": "ReplicaSet"})
            await told.after("three are wanted", 1)
            await change(w, RESOURCE_QUOTAS, "quota", {"hard": {"pods": "3"}})
            await told.after("updated: three pods", 300)
            await w.client.delete(RESOURCE_QUOTAS, "quota", "default")
            await told.after("deleted")
            return told.text()

    assert run_virtual(main()) == recorded("resourcequota")


def test_a_claim_and_its_volume() -> None:
    async def main() -> str:
        async with world() as w:
            await with_volumes(w)
            told = Transcript(w, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, columns=COUNTS)
            await w.client.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
            await told.after("created, and nobody uses it yet")
            claimed = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
            pod: Obj = quotas.a_pod("one")
            pod["spec"]["volumes"] = [claimed]
            await w.client.create(PODS, pod)
            await told.after("a pod uses it")
            await change(w, PERSISTENT_VOLUME_CLAIMS, "data", {"resources": {"requests": {"storage": "2Gi"}}})
            await told.after("grown")
            await w.client.delete(PERSISTENT_VOLUME_CLAIMS, "data", "default")
            await told.after("deleted while the pod is there")
            await w.client.delete(PODS, "one", "default")
            await told.after("the pod is gone")
            return told.text()

    assert run_virtual(main()) == recorded("persistentvolumeclaim")
