"""The node agent: kubelet and kube-proxy of this machine's node, over HTTPS like any node."""

from __future__ import annotations

import asyncio
import random

from wherry.aio.clock import Clock, RealClock
from wherry.client.events import EventRecorder
from wherry.client.http import HttpTransport
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client
from wherry.cluster import process
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.cluster.pki import Pki
from wherry.cri.image_service import StoreImageService
from wherry.cri.service import LinuxRuntime
from wherry.images.store import ImageStore
from wherry.kubelet.config import NodeConfig
from wherry.kubelet.kubelet import Kubelet
from wherry.network.ipam import PodAddresses
from wherry.network.proxy import Proxy, ProxyOptions


def main(state: State) -> None:
    """Until SIGTERM."""
    process.run("node-agent", run(state, process.options_of(state), RealClock(), random.Random()))


async def run(state: State, options: Options, clock: Clock, rng: random.Random) -> None:
    """Until cancelled. The control plane may come later, or go and come back: informers and writers try again."""
    files = Pki(state.pki)
    await process.until_exists(files.certificate("node-agent"), clock)
    transport = HttpTransport(
        options.server,
        ca=files.ca,
        certificate=files.certificate("node-agent"),
        key=files.key("node-agent"),
        user_agent="kubelet",
    )
    client = Client(transport)
    factory = InformerFactory(client, clock, rng)
    kubelet_recorder = EventRecorder(client, "kubelet", options.node_name, clock, rng)
    proxy_recorder = EventRecorder(client, "kube-proxy", options.node_name, clock, rng)
    runtime = LinuxRuntime(state.launcher_socket, rng)
    kubelet = Kubelet(
        _node(state, options),
        client=client,
        informers=factory,
        recorder=kubelet_recorder,
        runtime=runtime,
        images=StoreImageService(ImageStore(state.images)),
        addresses=PodAddresses(options.pod_cidr, frozenset({options.pod_gateway})),
        clock=clock,
        rng=rng,
    )
    network = ProxyOptions(state.run, options.node_name, process.node_network(options))
    proxy = Proxy(factory, proxy_recorder, network, clock)
    try:
        async with asyncio.TaskGroup() as group:
            for part in (factory, kubelet_recorder, proxy_recorder, kubelet, proxy):
                group.create_task(part.run(), name=type(part).__name__)
    finally:
        runtime.close()
        await transport.close()


def _node(state: State, options: Options) -> NodeConfig:
    return NodeConfig(
        name=options.node_name,
        pods_directory=state.pods,
        logs_directory=state.pod_logs,
        socket=state.kubelet_socket(options.node_name),
        address=options.pod_gateway,
        kubelet_version=f"v{options.kubernetes_version}.0",
        cluster_dns=options.dns_service_ip,
        cluster_domain=options.service_domain,
        pod_cidr=options.pod_cidr,
    )
