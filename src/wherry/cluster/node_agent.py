"""The node agent: kubelet and kube-proxy of this machine's node, over HTTPS like any node."""

from __future__ import annotations

import asyncio
import random
from typing import Protocol

from wherry.aio.clock import Clock, RealClock
from wherry.aio.durations import seconds
from wherry.chaos.deciding import under_pressure
from wherry.chaos.faults import Faults
from wherry.chaos.kept import FaultFolder
from wherry.client.events import EventRecorder
from wherry.client.http import HttpTransport
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client
from wherry.cluster import process
from wherry.cluster.cut_transport import CutTransport
from wherry.cluster.members import ADDED_LABEL, Member, members
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.cluster.pki import Pki
from wherry.cri.image_service import StoreImageService
from wherry.cri.service import LinuxRuntime
from wherry.images.store import ImageStore
from wherry.kubelet.config import NodeConfig
from wherry.kubelet.eviction.thresholds import DEFAULT, parse
from wherry.kubelet.kubelet import Kubelet
from wherry.network.ipam import PodAddresses
from wherry.network.proxy import Proxy, ProxyOptions


class Runs(Protocol):
    async def run(self) -> None: ...


def main(state: State, number: int) -> None:
    """Until SIGTERM."""
    options = process.options_of(state)
    member = members(options)[number - 1]
    process.run(member.role, run(state, options, member, RealClock(), random.Random()))


async def run(state: State, options: Options, member: Member, clock: Clock, rng: random.Random) -> None:
    """Until cancelled. The control plane may come later, or go and come back: informers and writers try again."""
    files = Pki(state.pki)
    await process.until_exists(files.certificate(member.role), clock)
    transport = HttpTransport(
        options.server,
        ca=files.ca,
        certificate=files.certificate(member.role),
        key=files.key(member.role),
        user_agent="kubelet",
    )
    faults = FaultFolder(state.chaos, clock)
    client = Client(CutTransport(transport, faults, member.name))
    factory = InformerFactory(client, clock, rng)
    recorder = EventRecorder(client, "kubelet", member.name, clock, rng)
    runtime = LinuxRuntime(state.launcher_socket, rng)
    kubelet = Kubelet(
        _node(state, options, member, faults),
        client=client,
        informers=factory,
        recorder=recorder,
        runtime=runtime,
        images=StoreImageService(ImageStore(state.images)),
        addresses=PodAddresses(member.pod_range, frozenset({member.address})),
        clock=clock,
        rng=rng,
    )
    parts: list[Runs] = [factory, recorder, kubelet]
    if member.number == 1:  # the nodes share one network, so one of them keeps its rules
        proxy_recorder = EventRecorder(client, "kube-proxy", member.name, clock, rng)
        network = ProxyOptions(state.run, member.name, process.node_network(options))
        parts += [proxy_recorder, Proxy(factory, proxy_recorder, network, clock)]
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part.run(), name=type(part).__name__)
    finally:
        runtime.close()
        await transport.close()


def _node(state: State, options: Options, member: Member, faults: Faults) -> NodeConfig:
    return NodeConfig(
        name=member.name,
        owner=member.owner,
        labels={ADDED_LABEL: "true"} if member.number > 1 else {},
        pods_directory=member.pods(state),
        logs_directory=member.pod_logs(state),
        socket=state.kubelet_socket(member.name),
        address=member.address,
        kubelet_version=f"v{options.kubernetes_version}.0",
        cluster_dns=options.dns_service_ip,
        cluster_domain=options.service_domain,
        pod_cidr=member.pod_cidr,
        eviction=parse(options.eviction_hard or DEFAULT),
        eviction_transition_seconds=seconds(options.eviction_pressure_transition_period),
        injected=lambda: under_pressure(faults, member.name),
    )
