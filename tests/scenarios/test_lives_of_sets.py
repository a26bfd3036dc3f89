"""The lives of what keeps pods, told as transcripts in `lives/`: created, scaled, updated, failed, deleted."""

from __future__ import annotations

import asyncio
from typing import Any

from test_stateful import a_set
from test_stateful import start as with_volumes
from transcript import Transcript, recorded
from world import World, a_deployment, pod_template, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from wherry.api.types import GVR
from wherry.controllers import daemonset, replicaset

SHORT = {"pods": ("Ready", "Status")}
IMAGE = "/spec/template/spec/containers/0/image"


async def change(w: World, gvr: GVR, name: str, spec: dict[str, Any]) -> None:
    await w.client.patch(gvr, name, {"spec": spec}, "default", type="merge")


async def image(w: World, gvr: GVR, name: str, value: str) -> None:
    await w.client.patch(gvr, name, [{"op": "replace", "path": IMAGE, "value": value}], "default", type="json")


async def fail(w: World, pod: str) -> None:
    status = {"phase": "Failed", "containerStatuses": []}
    await w.client.patch(PODS, pod, {"status": status}, "default", type="merge", subresource="status")


async def delete(w: World, gvr: GVR, name: str) -> None:
    await w.client.delete(gvr, name, "default", propagation="Background")


def test_a_deployment() -> None:
    async def main() -> str:
        async with world() as w:
            told = Transcript(w, DEPLOYMENTS, REPLICA_SETS, PODS, columns=SHORT)
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=2))
            await told.after("created")
            await change(w, DEPLOYMENTS, "web", {"replicas": 3})
            await told.after("scaled to 3")
            await image(w, DEPLOYMENTS, "web", "shop/web:v2")
            await told.after("updated")
            await fail(w, (await w.items(PODS))[0]["metadata"]["name"])
            await told.after("a pod fails")
            await delete(w, DEPLOYMENTS, "web")
            await told.after("deleted")
            return told.text()

    assert run_virtual(main()) == recorded("deployment")


def test_a_replica_set() -> None:
    async def main() -> str:
        async with world() as w:
            told = Transcript(w, REPLICA_SETS, PODS, columns=SHORT)
            deployment = a_deployment(replicas=2)
            await w.client.create(REPLICA_SETS, {**deployment, "kind": "ReplicaSet"})
            await told.after("created")
            await fail(w, (await w.items(PODS))[0]["metadata"]["name"])
            await told.after("a pod fails")
            await change(w, REPLICA_SETS, "web", {"replicas": 1})
            await told.after("scaled to 1")
            await delete(w, REPLICA_SETS, "web")
            await told.after("deleted")
            return told.text()

    assert run_virtual(main()) == recorded("replicaset")


def test_a_replication_controller() -> None:
    async def main() -> str:
        async with world() as w:
            w.started.append(asyncio.create_task(replicaset.build_replication_controller(w.parts).run()))
            told = Transcript(w, REPLICATION_CONTROLLERS, PODS, columns=SHORT)
            metadata = {"name": "web", "namespace": "default"}
            spec = {"replicas": 1, "selector": {"app": "web"}, "template": pod_template()}
            controller = {"apiVersion": "v1", "kind": "ReplicationController", "metadata": metadata, "spec": spec}
            await w.client.create(REPLICATION_CONTROLLERS, controller)
            await told.after("created")
            await change(w, REPLICATION_CONTROLLERS, "web", {"replicas": 2})
            await told.after("scaled to 2")
            await image(w, REPLICATION_CONTROLLERS, "web", "shop/web:v2")
            await told.after("updated, which no pod minds")
            await delete(w, REPLICATION_CONTROLLERS, "web")
            await told.after("deleted")
            return told.text()

    assert run_virtual(main()) == recorded("replicationcontroller")


def test_a_stateful_set() -> None:
    async def main() -> str:
        async with world() as w:
            await with_volumes(w)
            columns = SHORT | {"persistentvolumeclaims": ("Status",)}
            told = Transcript(w, STATEFUL_SETS, PODS, PERSISTENT_VOLUME_CLAIMS, columns=columns)
            policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
            await w.client.create(STATEFUL_SETS, a_set(2, persistentVolumeClaimRetentionPolicy=policy))
            await told.after("created")
            await image(w, STATEFUL_SETS, "nats", "shop/web:v2")
            await told.after("updated")
            await fail(w, "nats-0")
            await told.after("a pod fails")
            await change(w, STATEFUL_SETS, "nats", {"replicas": 1})
            await told.after("scaled to 1")
            await delete(w, STATEFUL_SETS, "nats")
            await told.after("deleted")
            return told.text()

    assert run_virtual(main()) == recorded("statefulset")


def test_a_daemon_set() -> None:
    async def main() -> str:
        async with world(nodes=2) as w:
            w.started.append(asyncio.create_task(w.add(daemonset).run()))
            told = Transcript(w, DAEMON_SETS, PODS, columns=SHORT)
            deployment = a_deployment("logs")
            spec = {key: value for key, value in deployment["spec"].items() if key != "replicas"}
            await w.client.create(DAEMON_SETS, {**deployment, "kind": "DaemonSet", "spec": spec})
            await told.after("created")
            await w.node.register("wherry-2")
            await told.after("a node more")
            await image(w, DAEMON_SETS, "logs", "shop/web:v2")
            await told.after("updated")
            await fail(w, (await w.items(PODS))[0]["metadata"]["name"])
            await told.after("a pod fails")
            await delete(w, DAEMON_SETS, "logs")
            await told.after("deleted")
            return told.text()

    assert run_virtual(main()) == recorded("daemonset")
