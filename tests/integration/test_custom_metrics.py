"""custom.metrics.k8s.io over an API server in this process, with a kubelet that is a real socket and says what it is told to."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from wherry.aio.clock import RealClock
from wherry.api.errors import StatusError
from wherry.api.resources import NAMESPACES, PODS, SERVICES
from wherry.api.scheme import Scheme
from wherry.api.types import GVR, Obj
from wherry.apiserver.app import App, Options
from wherry.apiserver.auth.user import MASTERS, User
from wherry.apiserver.in_process import InProcessTransport
from wherry.apiserver.registry.allocation import service_allocators
from wherry.client.rest import Client
from wherry.storage.memory import MemoryStorage

PATH = "/apis/custom.metrics.k8s.io/v1beta2"
ACCOUNTS = GVR("", "v1", "serviceaccounts")


class Kubelet:
    """Answers GET /stats/metrics."""

    def __init__(self) -> None:
        self.pods: list[Obj] = []

    def say(self, pod: Obj, **metrics: float) -> None:
        reference = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
        self.pods.append({"podRef": reference, "time": "2026-01-01T00:00:00Z", "window": 2.0, "metrics": metrics})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("GET /stats/metrics ")
        body = json.dumps({"pods": self.pods}).encode()
        kind = "Content-Type: application/json\r\nConnection: close"
        writer.write(f"HTTP/1.1 200 OK\r\n{kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[Client, Kubelet]]:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    storage, kubelet = MemoryStorage(), Kubelet()
    await storage.start()
    server = await asyncio.start_unix_server(kubelet.serve, folder / "kubelet-here.sock")
    allocators = service_allocators([], random.Random(1), "10.96.0.0/16")
    options = Options(key, kubelet_socket=lambda node: str(folder / f"kubelet-{node}.sock"), allocators=allocators)
    app = App(Scheme.load(), storage, RealClock(), random.Random(1), options)
    client = Client(InProcessTransport(app, User("admin", (MASTERS,))))
    await client.create(NAMESPACES, {"metadata": {"name": "shop"}})
    await client.create(ACCOUNTS, {"metadata": {"name": "default", "namespace": "shop"}})
    try:
        yield client, kubelet
    finally:
        server.close()
        await server.wait_closed()
        await storage.close()


async def a_pod(client: Client, name: str, node: str = "here", **labels: str) -> Obj:
    metadata = {"name": name, "namespace": "shop", "labels": labels, "annotations": {"prometheus.io/scrape": "true"}}
    return await client.create(
        PODS, {"metadata": metadata, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}}
    )


async def ask(client: Client, path: str, **query: str) -> Any:
    return await client.transport.request("GET", f"{PATH}{path}", query=query)


async def test_values_of_pods_and_services(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, kubelet):
        kubelet.say(await a_pod(client, "one", app="web"), rps=12.5, queue=1)
        kubelet.say(await a_pod(client, "two", app="web"), rps=7)
        kubelet.say(await a_pod(client, "other", app="cart"), queue=9)
        await a_pod(client, "elsewhere", "away", app="web")  # a node that does not answer is left out
        found = await ask(client, "/namespaces/shop/pods/*/rps", labelSelector="app=web")
        assert (found["kind"], found["apiVersion"]) == ("MetricValueList", "custom.metrics.k8s.io/v1beta2")
        values = {item["describedObject"]["name"]: item["value"] for item in found["items"]}
        assert values == {"one": "12500m", "two": "7"}
        assert found["items"][0]["metric"] == {"name": "rps", "selector": None}
        (single,) = (await ask(client, "/namespaces/shop/pods/other/queue"))["items"]
        assert (single["value"], single["windowSeconds"]) == ("9", 2)
        service = {
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        }
        await client.create(SERVICES, service)
        (whole,) = (await ask(client, "/namespaces/shop/services/web/rps"))["items"]
        assert (whole["describedObject"]["kind"], whole["value"]) == ("Service", "19500m")
        names = [entry["name"] for entry in (await ask(client, ""))["resources"]]
        assert names == ["pods/queue", "pods/rps", "services/queue", "services/rps"]


async def test_the_older_version(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, kubelet):
        kubelet.say(await a_pod(client, "one"), rps=1)
        path = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/pods/one/rps"
        (item,) = (await client.transport.request("GET", path))["items"]
        assert (item["metricName"], item["value"]) == ("rps", "1")


@pytest.mark.parametrize(
    ("path", "query", "code", "message"),
    [
        ("/namespaces/shop/pods/*/nothing", {}, 404, "the server could not find the metric nothing for pods"),
        ("/namespaces/shop/pods/gone/rps", {}, 404, 'pods "gone" not found'),
        ("/namespaces/shop/services/gone/rps", {}, 404, 'services "gone" not found'),
        ("/namespaces/shop/jobs/x/rps", {}, 404, "the server could not find the metric rps for jobs"),
        ("/namespaces/shop/pods/one", {}, 404, "the server could not find the requested resource"),
        ("/namespaces/shop/pods/*/rps", {"labelSelector": "a=("}, 400, ""),
        ("/namespaces/shop/pods/*/rps", {"metricLabelSelector": "a=b"}, 400, "metricLabelSelector: metrics are sums"),
    ],
)
async def test_what_is_not_there(tmp_path: Path, path: str, query: dict[str, str], code: int, message: str) -> None:
    async with served(tmp_path) as (client, kubelet):
        kubelet.say(await a_pod(client, "one"), rps=1)
        with pytest.raises(StatusError) as error:
            await ask(client, path, **query)
        assert error.value.code == code
        assert message in error.value.message


async def test_it_is_read_only(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, _):
        with pytest.raises(StatusError) as error:
            await client.transport.request("DELETE", f"{PATH}/namespaces/shop/pods/one/rps")
        assert error.value.code == 405
