"""The Node object: registered at start, kept true, and proved alive by a Lease every 10 seconds.

`node_object`, `conditions` and `transitions` are pure. Status is written when the Node does not say it, be it that something
changed here or that others took the node for dead, and every five minutes; the Lease is what says "alive" in between
(Kubernetes' "Node heartbeats"). Changes of conditions are told as Events.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Collection, Mapping

from msgspec import Struct

from wherry.aio.clock import Clock, rfc3339, rfc3339_micro
from wherry.api.errors import StatusError, is_already_exists, is_conflict, is_not_found
from wherry.api.quantity import Quantity
from wherry.api.resources import LEASES, NODES
from wherry.api.types import Obj
from wherry.client.rest import Client
from wherry.cri.interface import ImageService, RuntimeFailure, RuntimeService
from wherry.kubelet import node_facts
from wherry.kubelet.config import NodeConfig
from wherry.kubelet.downward import NodeFacts
from wherry.kubelet.events import Recorder
from wherry.kubelet.eviction.pressure import DISK_PRESSURE, MEMORY_PRESSURE, Pressure
from wherry.kubelet.isolation import ISOLATED, isolation
from wherry.kubelet.pleg import Pleg

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
REPORT_SECONDS = 300.0
RETRY_SECONDS = 0.5
IMAGES_MAX = 50  # kubelet's nodeStatusMaxImages


class Vitals(Struct, frozen=True):
    """What the conditions are made of."""

    pressures: Collection[str]
    """Those of memory and disk that the eviction manager sees."""
    runtime_ready: bool
    isolated: Obj | None = None
    """What `isolation` says; None while the runtime is away: then the Node keeps what it said."""


def conditions(vitals: Vitals, recorded: list[Obj], now: float) -> list[Obj]:
    """The kubelet's four in its order, our own before the last; a condition's lastTransitionTime moves with its status only."""
    before = {each.get("type"): each for each in recorded}
    wanted = [
        ("MemoryPressure", "True", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
        if MEMORY_PRESSURE in vitals.pressures
        else ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "True", "KubeletHasDiskPressure", "kubelet has disk pressure")
        if DISK_PRESSURE in vitals.pressures
        else ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        *_isolated(vitals, before),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status")
        if vitals.runtime_ready
        else ("Ready", "False", "KubeletNotReady", "container runtime is down"),
    ]
    result = []
    for kind, status, reason, message in wanted:
        old = before.get(kind) or {}
        moved = old.get("lastTransitionTime") if old.get("status") == status else None
        result.append(
            {
                "type": kind,
                "status": status,
                "lastHeartbeatTime": rfc3339(now),
                "lastTransitionTime": moved or rfc3339(now),
                "reason": reason,
                "message": message,
            }
        )
    return result


def _isolated(vitals: Vitals, before: Mapping[str | None, Obj]) -> list[tuple[str, str, str, str]]:
    found = vitals.isolated or before.get(ISOLATED)
    return [(found["type"], found["status"], found["reason"], found["message"])] if found else []


EVENTS = {
    ("MemoryPressure", "True"): "NodeHasInsufficientMemory",
    ("MemoryPressure", "False"): "NodeHasSufficientMemory",
    ("DiskPressure", "True"): "NodeHasDiskPressure",
    ("DiskPressure", "False"): "NodeHasNoDiskPressure",
    ("PIDPressure", "False"): "NodeHasSufficientPID",
    ("Ready", "True"): "NodeReady",
    ("Ready", "False"): "NodeNotReady",
}


def transitions(before: list[Obj], after: list[Obj]) -> list[str]:
    """Reasons of the Events about what changed, in the order of `after`; our own condition has none."""
    known = {(each.get("type"), each.get("status")) for each in before}
    changed = [(each["type"], each["status"]) for each in after]
    return [EVENTS[each] for each in changed if each in EVENTS and each not in known]


def capacity(facts: NodeFacts, max_pods: int) -> Obj:
    return {
        "cpu": str(Quantity.from_milli(facts.cpu_millis)),
        "ephemeral-storage": f"{facts.storage_bytes // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{facts.memory_bytes // 1024}Ki",
        "pods": str(max_pods),
    }


def node_object(config: NodeConfig) -> Obj:
    """What is registered: name, labels and pod range."""
    labels = {
        "beta.kubernetes.io/arch": node_facts.architecture(),
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": node_facts.architecture(),
        "kubernetes.io/hostname": config.name,
        "kubernetes.io/os": "linux",
        **config.labels,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": config.name, "labels": labels},
        "spec": {"podCIDR": config.pod_cidr, "podCIDRs": [config.pod_cidr]},
    }


class NodeStatus:
    def __init__(
        self,
        config: NodeConfig,
        facts: NodeFacts,
        client: Client,
        runtime: RuntimeService,
        images: ImageService,
        pleg: Pleg,
        recorder: Recorder,
        pressure: Pressure,
        clock: Clock,
    ) -> None:
        self._config = config
        self._facts = facts
        self._client = client
        self._runtime = runtime
        self._images = images
        self._pleg = pleg
        self._recorder = recorder
        self._pressure = pressure
        self._news = asyncio.Event()
        self._clock = clock
        self._written: Obj = {}
        """What the Node said at the last look."""
        self._reported_at = float("-inf")
        self._node: Obj | None = None

    async def run(self) -> None:
        """Register, then heartbeat, until cancelled. Waits out an API server that is away."""
        while True:
            # The runtime answers a moment after the start: a node is not kept from being ready for a whole period.
            pause = RENEW_SECONDS if self._pleg.is_synced() else RETRY_SECONDS
            try:
                if self._node is None:
                    self._node = await self._register()
                    self._recorder.event(self._node, "Normal", "Starting", "Starting kubelet.")
                await self._report(self._node)
                await self._renew(self._node)
            except (ConnectionError, TimeoutError, StatusError, RuntimeFailure) as error:
                log.warning("node %s not reported: %s", self._config.name, error)
                pause = RETRY_SECONDS
                if isinstance(error, StatusError) and is_not_found(error):
                    self._node, self._written = None, {}  # somebody deleted the Node: register again
            await self._pause(pause)

    def report_now(self) -> None:
        """A condition has changed: it is not kept until the next heartbeat."""
        self._news.set()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()

    async def _register(self) -> Obj:
        wanted = node_object(self._config)
        try:
            return await self._client.create(NODES, wanted)
        except StatusError as error:
            if not is_already_exists(error):
                raise
        node = await self._client.get(NODES, self._config.name)
        labels = node["metadata"].get("labels") or {}
        missing = {key: value for key, value in wanted["metadata"]["labels"].items() if labels.get(key) != value}
        if missing:
            node = await self._client.patch(NODES, self._config.name, {"metadata": {"labels": missing}})
        return node

    async def _report(self, node: Obj) -> None:
        """Write the status if the Node does not say it; times of heartbeats alone are news every five minutes only."""
        now = self._clock.time()
        live = await self._client.get(NODES, self._config.name)
        self._written = dict(live.get("status") or {})
        status = await self._status(now)
        due = now - self._reported_at >= REPORT_SECONDS
        if not due and _timeless(status) == _timeless(self._written):
            return
        await self._client.patch(NODES, self._config.name, {"status": status}, type="strategic", subresource="status")
        self._reported_at = now
        for reason in transitions(self._written.get("conditions") or [], status["conditions"]):
            text = f"Node {self._config.name} status is now: {reason}"
            self._recorder.event(node, "Normal", reason, text)

    async def _status(self, now: float) -> Obj:
        about = await self._runtime.status() if self._pleg.is_synced() else {}
        vitals = Vitals(
            self._pressure.conditions,
            self._pleg.is_synced(),
            isolation(about) if about else None,
        )
        amounts = capacity(self._facts, self._config.max_pods)
        return {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": conditions(vitals, self._written.get("conditions") or [], now),
            "addresses": [
                {"type": "InternalIP", "address": self._config.address},
                {"type": "Hostname", "address": self._config.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": self._node_info(about),
            "images": await self._image_list(),
        }

    def _node_info(self, about: Mapping[str, str]) -> Obj:
        machine = node_facts.read_id("/etc/machine-id")
        recorded = self._written.get("nodeInfo") or {}
        version = f"wherry://{about['version']}" if about.get("version") else recorded.get("containerRuntimeVersion")
        return {
            "machineID": machine,
            "systemUUID": machine,
            "bootID": node_facts.read_id("/proc/sys/kernel/random/boot_id"),
            "kernelVersion": platform.release(),
            "osImage": node_facts.os_image(),
            "containerRuntimeVersion": version or "wherry://unknown",
            "kubeletVersion": self._config.kubelet_version,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": node_facts.architecture(),
        }

    async def _image_list(self) -> list[Obj]:
        images = sorted(await self._images.list_images(), key=lambda image: -image.size)[:IMAGES_MAX]
        return [{"names": list(image.names), "sizeBytes": image.size} for image in images]

    async def _renew(self, node: Obj) -> None:
        now = rfc3339_micro(self._clock.time())
        name = self._config.name
        try:
            await self._client.patch(LEASES, name, {"spec": {"renewTime": now}}, LEASE_NAMESPACE)
        except StatusError as error:
            if not is_not_found(error):
                if is_conflict(error):
                    return
                raise
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
                "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
            }
            try:
                await self._client.create(LEASES, lease)
            except StatusError as refused:
                # The namespace is made by the control plane a moment after its first start.
                if not is_not_found(refused) and not is_already_exists(refused):
                    raise


def _timeless(status: Obj) -> Obj:
    stripped = [
        {key: value for key, value in each.items() if key != "lastHeartbeatTime"}
        for each in status.get("conditions") or ()
        if each.get("type") in ("MemoryPressure", "DiskPressure", "PIDPressure", ISOLATED, "Ready")
    ]
    return {
        **{key: status.get(key) or None for key in ("capacity", "addresses", "nodeInfo", "images")},
        "conditions": sorted(stripped, key=lambda each: str(each.get("type"))),
    }
