"""Nodes with what runs on them, kept up to date by watch events: what a scheduling decision looks at.

Includes assumed pods: placed by us, their binding on its way to storage and back. Without them two pods would be given
the same room. Plain memory, changed only between decisions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wherry.api.types import Obj
from wherry.reconcile.pods import is_finished
from wherry.scheduler.requests import Amounts, amounts, pod_requests

HostPort = tuple[str, str, int]
"""(host IP, protocol, port); the empty IP and 0.0.0.0 mean every address."""


@dataclass(slots=True)
class PodInfo:
    """A pod and what deciding about it needs, worked out once per version."""

    pod: Obj
    uid: str
    namespace: str
    name: str
    requests: Amounts
    scored: Amounts
    ports: frozenset[HostPort]
    priority: int
    owner: str = ""
    """uid of the controller it is a replica of; empty without one."""
    compiled: dict[str, Any] = field(default_factory=dict)
    """Plugins keep here what they parse from the spec (selectors, terms), under their own name."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @classmethod
    def of(cls, pod: Obj) -> PodInfo:
        metadata, spec = pod["metadata"], pod["spec"]
        return cls(
            pod,
            metadata["uid"],
            metadata.get("namespace", ""),
            metadata["name"],
            pod_requests(pod),
            pod_requests(pod, scoring=True),
            _host_ports(spec),
            spec.get("priority") or 0,
            _controller(metadata),
        )


def _controller(metadata: Obj) -> str:
    owners = metadata.get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")


def _host_ports(spec: Obj) -> frozenset[HostPort]:
    containers = [*(spec.get("containers") or ()), *_sidecars(spec)]
    return frozenset(
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in containers
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


def _sidecars(spec: Obj) -> list[Obj]:
    return [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]


class NodeInfo:
    """One node: what it offers, what is taken, by whom."""

    def __init__(self, node: Obj) -> None:
        self.pods: dict[str, PodInfo] = {}
        self.requested: Amounts = {}
        self.scored: Amounts = {}
        self.ports: dict[HostPort, int] = {}
        self.replicas: dict[str, int] = {}
        """uid of a controller -> how many of its pods are here."""
        self.set_node(node)

    def set_node(self, node: Obj) -> None:
        self.node = node
        self.name: str = node["metadata"]["name"]
        self.labels: dict[str, str] = node["metadata"].get("labels") or {}
        spec, status = node.get("spec") or {}, node.get("status") or {}
        self.taints: list[Obj] = spec.get("taints") or []
        self.unschedulable: bool = bool(spec.get("unschedulable"))
        self.allocatable = amounts(status.get("allocatable") or status.get("capacity"))

    def add(self, info: PodInfo) -> None:
        self.remove(info.uid)
        self.pods[info.uid] = info
        self._count(info, 1)

    def remove(self, uid: str) -> None:
        info = self.pods.pop(uid, None)
        if info is not None:
            self._count(info, -1)

    def _count(self, info: PodInfo, sign: int) -> None:
        for total, own in ((self.requested, info.requests), (self.scored, info.scored)):
            for key, value in own.items():
                total[key] = total.get(key, 0) + sign * value
        if info.owner:
            self.replicas[info.owner] = self.replicas.get(info.owner, 0) + sign
            if self.replicas[info.owner] <= 0:
                del self.replicas[info.owner]
        for port in info.ports:
            self.ports[port] = self.ports.get(port, 0) + sign
            if self.ports[port] <= 0:
                del self.ports[port]


class Snapshot:
    """All nodes by name. `nodes` is the list decisions walk over; its order is the order of arrival."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeInfo] = {}
        self._list: list[NodeInfo] | None = None
        self._where: dict[str, str] = {}
        self._assumed: set[str] = set()
        self._homeless: dict[str, dict[str, PodInfo]] = {}
        self.listeners: list[set[str]] = []
        """Sets that want the names of nodes that changed; whoever reads one empties it."""
        self.with_anti_affinity = 0
        """How many placed pods have required anti-affinity terms: if none, a whole check can be left out."""

    @property
    def nodes(self) -> list[NodeInfo]:
        if self._list is None:
            self._list = list(self._nodes.values())
        return self._list

    def node(self, name: str) -> NodeInfo | None:
        return self._nodes.get(name)

    def _touched(self, name: str) -> None:
        for names in self.listeners:
            names.add(name)

    def put_node(self, node: Obj) -> None:
        name = node["metadata"]["name"]
        self._touched(name)
        info = self._nodes.get(name)
        if info is not None:
            info.set_node(node)
            return
        info = self._nodes[name] = NodeInfo(node)
        self._list = None
        # Pods may be seen before their node: two informers know no common order.
        for pod in self._homeless.pop(name, {}).values():
            info.add(pod)

    def remove_node(self, name: str) -> None:
        self._touched(name)
        info = self._nodes.pop(name, None)
        if info is not None:
            self._list = None
            if info.pods:
                self._homeless[name] = dict(info.pods)

    def put_pod(self, pod: Obj) -> None:
        """A pod as the API has it: placed if it has a node and has not finished."""
        uid = pod["metadata"]["uid"]
        name = pod["spec"].get("nodeName")
        if not name or is_finished(pod):
            if uid not in self._assumed or is_finished(pod):
                self.remove_pod(uid)
            return
        self._assumed.discard(uid)
        self._place(PodInfo.of(pod), name)

    def assume(self, info: PodInfo, node: str) -> None:
        """Count the pod on the node although the API does not say so yet."""
        self._assumed.add(info.uid)
        self._place(info, node)

    def forget(self, uid: str) -> None:
        """The binding failed: the assumption was wrong."""
        if uid in self._assumed:
            self.remove_pod(uid)

    def is_assumed(self, uid: str) -> bool:
        return uid in self._assumed

    def remove_pod(self, uid: str) -> None:
        self._assumed.discard(uid)
        name = self._where.pop(uid, None)
        if name is None:
            return
        self._touched(name)
        info = self._nodes.get(name)
        if info is None:
            homeless = self._homeless.get(name, {})
            gone = homeless.pop(uid, None)
            if not homeless:
                self._homeless.pop(name, None)
        else:
            gone = info.pods.get(uid)
            info.remove(uid)
        if gone is not None:
            self.with_anti_affinity -= has_anti_affinity(gone.pod)

    def _place(self, info: PodInfo, name: str) -> None:
        assumed = info.uid in self._assumed
        self.remove_pod(info.uid)
        if assumed:
            self._assumed.add(info.uid)
        self._where[info.uid] = name
        self._touched(name)
        self.with_anti_affinity += has_anti_affinity(info.pod)
        node = self._nodes.get(name)
        if node is None:
            self._homeless.setdefault(name, {})[info.uid] = info
        else:
            node.add(info)


def has_anti_affinity(pod: Obj) -> bool:
    """Whether it keeps others away from its own place."""
    anti = (pod["spec"].get("affinity") or {}).get("podAntiAffinity") or {}
    return bool(anti.get("requiredDuringSchedulingIgnoredDuringExecution"))
