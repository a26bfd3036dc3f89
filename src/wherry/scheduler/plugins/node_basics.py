"""The three plain rules: the node is not cordoned, it is the one the pod names, its host ports are free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wherry.api.tolerations import tolerates
from wherry.scheduler.framework import OK, SKIP, Filter, Happening, always
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import HostPort, PodInfo
from wherry.scheduler.snapshot import Snapshot

_CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_EVERY_ADDRESS = "0.0.0.0"


def _unschedulable(pod: PodInfo, node: NodeInfo, state: Any) -> Sequence[str]:
    # `kubectl cordon` is a taint in all but name: DaemonSet pods tolerate it.
    if node.unschedulable and not tolerates(pod.pod["spec"].get("tolerations") or (), _CORDON):
        return ("node(s) were unschedulable",)
    return OK


def _named(pod: PodInfo, snapshot: Snapshot) -> Any:
    return pod.pod["spec"].get("nodeName") or SKIP


def _node_name(pod: PodInfo, node: NodeInfo, wanted: str) -> Sequence[str]:
    return OK if node.name == wanted else ("node(s) didn't match the requested node name",)


def _has_ports(pod: PodInfo, snapshot: Snapshot) -> Any:
    return pod.ports or SKIP


def _ports(pod: PodInfo, node: NodeInfo, wanted: frozenset[HostPort]) -> Sequence[str]:
    if any(_taken(port, node) for port in wanted):
        return ("node(s) didn't have free ports for the requested pod ports",)
    return OK


def _taken(port: HostPort, node: NodeInfo) -> bool:
    address, protocol, number = port
    if address == _EVERY_ADDRESS:
        return any(used[1] == protocol and used[2] == number for used in node.ports)
    return port in node.ports or (_EVERY_ADDRESS, protocol, number) in node.ports


NODE_UNSCHEDULABLE = Filter("NodeUnschedulable", _unschedulable, frozenset({Happening.NODE_CHANGED}), local=True)
NODE_NAME = Filter("NodeName", _node_name, frozenset({Happening.NODE_CHANGED}), _named, local=True)
NODE_PORTS = Filter(
    "NodePorts",
    _ports,
    frozenset({Happening.NODE_CHANGED, Happening.POD_GONE}),
    _has_ports,
    evictable=always,
    local=True,
)
