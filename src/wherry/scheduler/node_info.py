"""A node as a decision sees it: what it offers, what is taken, by whom, and who was promised room."""

from __future__ import annotations

from wherry.api.types import Obj
from wherry.scheduler.pod_info import HostPort, PodInfo
from wherry.scheduler.requests import Amounts, amounts


class NodeInfo:
    """One node: what it offers, what is taken, by whom."""

    def __init__(self, node: Obj) -> None:
        self.pods: dict[str, PodInfo] = {}
        self.requested: Amounts = {}
        self.scored: Amounts = {}
        self.ports: dict[HostPort, int] = {}
        self.replicas: dict[str, int] = {}
        """A pod's kin -> how many of them are here."""
        self.nominated: dict[str, PodInfo] = {}
        """Pods that were promised room here and are not here yet."""
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
        if info.kin:
            self.replicas[info.kin] = self.replicas.get(info.kin, 0) + sign
            if self.replicas[info.kin] <= 0:
                del self.replicas[info.kin]
        for port in info.ports:
            self.ports[port] = self.ports.get(port, 0) + sign
            if self.ports[port] <= 0:
                del self.ports[port]
