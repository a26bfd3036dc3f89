"""The agent's proxy between an API and a real node: what is applied is served; restarts of everybody around heal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from network_node import Netd, Node, connected, needs_node

from wherry.aio.clock import RealClock
from wherry.api.resources import ENDPOINT_SLICES, EVENTS, NAMESPACES, SERVICES
from wherry.api.types import Obj
from wherry.client.events import EventRecorder
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client
from wherry.network.netd_control import Request
from wherry.network.nftables import NodeNetwork
from wherry.network.proxy import Proxy, ProxyOptions
from wherry.testing.fake_api import FakeApi

pytestmark = [needs_node, pytest.mark.root]
VIP = "10.96.0.70"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    node.populate()
    yield node
    node.kill()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    api = FakeApi()
    client = Client(api)
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    yield client
    await api.close()


@contextlib.asynccontextmanager
async def agent(client: Client, node: Node) -> AsyncIterator[Proxy]:
    clock = RealClock()
    factory = InformerFactory(client, clock, Random(1))
    recorder = EventRecorder(client, "kube-proxy", "node", clock, Random(2))
    proxy = Proxy(factory, recorder, ProxyOptions(node.run_directory, "node", NodeNetwork()), clock)
    tasks = [asyncio.ensure_future(work) for work in (factory.run(), recorder.run(), proxy.run())]
    try:
        yield proxy
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


def service(**spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1"},
        "spec": {"clusterIP": VIP, "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}], **spec},
    }


def endpoints(*ips: str, version: str = "") -> Obj:
    meta: Obj = {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "metadata": {**meta, "resourceVersion": version} if version else meta,
        "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in ips],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }


async def replace(client: Client, *ips: str) -> None:
    old = await client.get(ENDPOINT_SLICES, "web-1", "shop")
    await client.update(ENDPOINT_SLICES, endpoints(*ips, version=old["metadata"]["resourceVersion"]))


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.005)


def says(node: Node, name: str) -> Callable[[], bool]:
    def check() -> bool:
        try:
            return node.pods[2].ask(VIP, 80).split()[0] == name
        except OSError:
            return False

    return check


async def test_what_is_applied_is_served_and_heals(client: Client, node: Node) -> None:
    await client.create(SERVICES, service(), "shop")
    await client.create(ENDPOINT_SLICES, endpoints("10.244.0.2"), "shop")
    async with agent(client, node):
        await eventually(says(node, "two"))
        await replace(client, "10.244.0.3")
        await eventually(says(node, "three"))
        node.kill()
        node.start()
        node.populate()
        await eventually(says(node, "three"))
    # Nobody is there now; the rules are.
    assert says(node, "three")()
    await replace(client, "10.244.0.2")
    async with agent(client, node):
        await eventually(says(node, "two"))
        await client.delete(SERVICES, "web", "shop")
        await eventually(lambda: not says(node, "two")())


async def test_a_restart_of_the_agent_refuses_nobody(client: Client, node: Node) -> None:
    await client.create(SERVICES, service(), "shop")
    await client.create(ENDPOINT_SLICES, endpoints("10.244.0.2"), "shop")
    async with agent(client, node) as proxy:
        await asyncio.wait_for(proxy.synced.wait(), 30)
        ended = asyncio.Event()

        def load() -> int:
            count = 0
            while not ended.is_set():
                assert node.pods[2].ask(VIP, 80).startswith("two")
                count += 1
            return count

        loaded = asyncio.ensure_future(asyncio.to_thread(load))
    for _ in range(5):
        async with agent(client, node) as proxy:
            await asyncio.wait_for(proxy.synced.wait(), 30)
    ended.set()
    assert await loaded > 0


async def test_netd_is_told_and_told_again(client: Client, node: Node) -> None:
    await client.create(SERVICES, service(), "shop")
    async with agent(client, node):
        for _ in range(2):
            netd = Netd(node.run_directory)
            try:
                control, reader = await connected(node.run_directory)
                async with asyncio.timeout(30):
                    while (await control.ask(Request("status"))).statistics["services"] != 1:
                        await asyncio.sleep(0.005)
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
            finally:
                netd.kill()


async def test_what_is_not_served_is_said(client: Client, node: Node) -> None:
    ports = [{"name": "signal", "port": 38412, "protocol": "SCTP"}]
    await client.create(SERVICES, service(ports=ports), "shop")
    async with agent(client, node):
        async with asyncio.timeout(30):
            while not (events := (await client.list(EVENTS, "shop"))["items"]):
                await asyncio.sleep(0.005)
    assert events[0]["type"] == "Warning"
    assert events[0]["reason"] == "UnsupportedProtocol"
    assert "signal/SCTP" in events[0]["message"]
