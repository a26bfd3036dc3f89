"""What a pod worker works with: one bundle per kubelet, so that a worker's constructor takes the pod and nothing else new."""

from __future__ import annotations

import random
from typing import Protocol

from msgspec import Struct

from wherry.aio.clock import Clock
from wherry.cri.interface import RuntimeService
from wherry.kubelet.backoff import Backoff
from wherry.kubelet.config import NodeConfig
from wherry.kubelet.container_start import ContainerStarter
from wherry.kubelet.events import PodEvents
from wherry.kubelet.eviction.pressure import Pressure
from wherry.kubelet.garbage import Garbage
from wherry.kubelet.hooks import Hooks
from wherry.kubelet.images import Images
from wherry.kubelet.network_policies import NetworkPolicies
from wherry.kubelet.pleg import Pleg
from wherry.kubelet.prober import Prober
from wherry.kubelet.routes import Routes
from wherry.kubelet.status_manager import StatusManager
from wherry.kubelet.volumes.manager import VolumeManager


class Addresses(Protocol):
    """Who gives pods their addresses (`network.ipam.PodAddresses`), by pod uid. A pod keeps its address until released."""

    def allocate(self, owner: str) -> str:
        """The owner's address; the same one when asked again. Raises when the range is used up."""
        ...

    def claim(self, owner: str, ip: str) -> bool:
        """The owner already has this address (a restarted kubelet found it); False when it belongs to another."""
        ...

    def release(self, owner: str) -> None: ...


class Parts(Struct, frozen=True):
    config: NodeConfig
    clock: Clock
    rng: random.Random
    runtime: RuntimeService
    pleg: Pleg
    status: StatusManager
    volumes: VolumeManager
    images: Images
    starter: ContainerStarter
    hooks: Hooks
    prober: Prober
    events: PodEvents
    addresses: Addresses
    garbage: Garbage
    routes: Routes
    policies: NetworkPolicies
    pressure: Pressure
    crash_backoff: Backoff
