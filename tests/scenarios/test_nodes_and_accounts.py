"""Nodes that fall silent, accounts and tokens, Endpoints, and what sweeps up."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from world import NODE, World, a_deployment, pod_template, world

from wherry.aio.clock import rfc3339_micro
from wherry.aio.virtual import run_virtual
from wherry.api.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINTS,
    LEASES,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from wherry.api.types import Obj
from wherry.controllers import node_lifecycle, service_account_token
from wherry.reconcile.pods import condition, is_ready, is_terminating


async def heartbeat(w: World, name: str) -> None:
    lease: Obj = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40},
    }
    lease["spec"]["renewTime"] = rfc3339_micro(w.clock.time())
    lease = await w.client.create(LEASES, lease)
    while True:
        await asyncio.sleep(10)
        renewed = {**lease["spec"], "renewTime": rfc3339_micro(w.clock.time())}
        lease = await w.client.update(LEASES, {**lease, "spec": renewed})


async def taints(w: World, name: str) -> list[tuple[str, str]]:
    node = await w.client.get(NODES, name)
    return sorted((one["key"].split("/")[1], one["effect"]) for one in node["spec"].get("taints", ()))


def test_pods_leave_a_silent_node_after_their_time() -> None:
    async def main() -> None:
        async with world(nodes=2) as w:
            w.started.append(asyncio.create_task(w.add(node_lifecycle).run()))
            beats = {name: asyncio.create_task(heartbeat(w, name)) for name in (NODE, f"{NODE}-1")}
            w.started += beats.values()
            await w.client.create(DEPLOYMENTS, a_deployment(replicas=4))
            await w.rolled_out("web")
            await asyncio.sleep(300)
            assert await taints(w, NODE) == []
            # The node dies: it neither reports nor stops pods any more.
            beats[NODE].cancel()
            w.node.names.discard(NODE)
            await asyncio.sleep(35)
            assert await taints(w, NODE) == []
            await asyncio.sleep(20)
            assert await taints(w, NODE) == [("unreachable", "NoExecute"), ("unreachable", "NoSchedule")]
            ready = condition(await w.client.get(NODES, NODE), "Ready")
            assert ready is not None
            assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
            lost = [pod for pod in await w.items(PODS) if pod["spec"]["nodeName"] == NODE]
            assert lost
            assert not any(is_ready(pod) or is_terminating(pod) for pod in lost)
            await asyncio.sleep(290)  # the default toleration is 300 s
            pods = await w.items(PODS)
            assert all(is_terminating(pod) for pod in pods if pod["spec"]["nodeName"] == NODE)
            others = [pod for pod in pods if pod["spec"]["nodeName"] == f"{NODE}-1"]
            assert sum(is_ready(pod) for pod in others) == 4
            await w.client.delete(NODES, NODE)
            await asyncio.sleep(90)
            assert len(await w.items(PODS)) == 4

    run_virtual(main())


def test_accounts_and_root_certificates_are_restored() -> None:
    async def main() -> None:
        async with world() as w:
            await w.until(lambda: w.get(SERVICE_ACCOUNTS, "default"))
            await w.client.delete(SERVICE_ACCOUNTS, "default", "default")
            await w.until(lambda: w.get(SERVICE_ACCOUNTS, "default"), 1)
            await w.client.patch(CONFIG_MAPS, "kube-root-ca.crt", {"data": {"ca.crt": "forged"}}, "default")
            await asyncio.sleep(1)
            assert (await w.client.get(CONFIG_MAPS, "kube-root-ca.crt", "default"))["data"] == {"ca.crt": "PEM"}

    run_virtual(main())


def test_token_secrets_are_filled_and_go_with_their_account() -> None:
    async def main() -> None:
        async with world() as w:

            def sign(account: Obj, secret: Obj) -> str:
                return f"{account['metadata']['name']}/{secret['metadata']['name']}"

            controller = w.add(service_account_token, certificate="PEM", sign=sign)
            w.started.append(asyncio.create_task(controller.run()))
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ci", "namespace": "default"}}
            await w.client.create(SERVICE_ACCOUNTS, account)
            annotations = {"kubernetes.io/service-account.name": "ci"}
            metadata = {"name": "ci-token", "namespace": "default", "annotations": annotations}
            kind = "kubernetes.io/service-account-token"
            await w.client.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind})
            await asyncio.sleep(1)
            data = (await w.client.get(SECRETS, "ci-token", "default"))["data"]
            assert {key: base64.b64decode(value) for key, value in data.items()} == {
                "token": b"ci/ci-token",
                "ca.crt": b"PEM",
                "namespace": b"default",
            }
            await w.client.delete(SERVICE_ACCOUNTS, "ci", "default")
            await asyncio.sleep(1)
            assert await w.get(SECRETS, "ci-token") is None

    run_virtual(main())


def test_endpoints_tell_ready_from_not_ready() -> None:
    async def main() -> None:
        async with world() as w:
            service: Obj = {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
            }
            await w.client.create(SERVICES, service)
            for name, ready in (("a", "0"), ("b", "1e9")):
                pod: Obj = {"apiVersion": "v1", "kind": "Pod", **pod_template("web", ready_seconds=ready)}
                pod["metadata"] |= {"name": name, "namespace": "default"}
                pod["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": 8080}]
                await w.client.create(PODS, pod)
            await asyncio.sleep(2)
            found: Any = await w.client.get(ENDPOINTS, "web", "default")
            (subset,) = found["subsets"]
            assert [one["targetRef"]["name"] for one in subset["addresses"]] == ["a"]
            assert [one["targetRef"]["name"] for one in subset["notReadyAddresses"]] == ["b"]
            assert subset["ports"] == [{"port": 8080, "protocol": "TCP"}]
            await w.client.delete(SERVICES, "web", "default")
            await asyncio.sleep(1)
            assert await w.get(ENDPOINTS, "web") is None

    run_virtual(main())
