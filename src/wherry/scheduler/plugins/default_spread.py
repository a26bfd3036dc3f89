"""Pods that say nothing about spreading are spread all the same: kube-scheduler's default constraints.

    maxSkew 3 over kubernetes.io/hostname, maxSkew 5 over topology.kubernetes.io/zone, both ScheduleAnyway

among the pods that the same Services and the same ReplicaSet, ReplicationController or StatefulSet mean; pods that nothing
means are not spread. A node without one of the labels is judged by the other. Numbers as kube-scheduler's, but that how
many nodes and zones there are is asked of the cluster and not of the nodes that would do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from math import log
from typing import Any, Final, Protocol

from msgspec import Struct

from wherry.api.types import Obj
from wherry.reconcile.service_pods import selects
from wherry.scheduler.framework import SKIP, Score
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.snapshot import Snapshot
from wherry.scheduler.zones import ZONE

HOST: Final = "kubernetes.io/hostname"
HOST_SKEW: Final = 3
ZONE_SKEW: Final = 5


class Services(Protocol):
    """An informer, as far as spreading is concerned."""

    def list(self, namespace: str | None = None) -> list[Obj]: ...


class _State(Struct, frozen=True):
    """How many pods of the kind are in each zone and, unless nodes count them themselves, on each node."""

    in_zone: Mapping[str, int]
    on_node: Mapping[str, int] | None
    host_weight: float
    zone_weight: float


def _state(snapshot: Snapshot, in_zone: Mapping[str, int], on_node: Mapping[str, int] | None = None) -> _State:
    return _State(in_zone, on_node, log(len(snapshot.nodes) + 2), log(len(snapshot.zones.nodes) + 2))


def _of_replicas(pod: PodInfo, snapshot: Snapshot) -> Any:
    """Pods of one template are meant by the same Services: their controller is enough."""
    return SKIP if not pod.kin or _has_constraints(pod) else _state(snapshot, snapshot.zones.replicas(pod.kin))


def _rate(pod: PodInfo, node: NodeInfo, state: _State) -> float:
    score = 0.0
    if HOST in node.labels:
        number = node.replicas.get(pod.kin, 0) if state.on_node is None else state.on_node.get(node.name, 0)
        score += number * state.host_weight + HOST_SKEW - 1
    zone = node.labels.get(ZONE)
    if zone is not None:
        score += state.in_zone.get(zone, 0) * state.zone_weight + ZONE_SKEW - 1
    return round(score)


def _group(pod: PodInfo, node: NodeInfo) -> Hashable:
    return node.labels.get(ZONE), HOST in node.labels, node.replicas.get(pod.kin, 0)


def _has_constraints(pod: PodInfo) -> bool:
    return bool(pod.pod["spec"].get("topologySpreadConstraints"))


def of_services(services: Services) -> Score:
    """For pods without such a controller, which only Services mean."""

    def prepare(pod: PodInfo, snapshot: Snapshot) -> Any:
        if pod.kin or _has_constraints(pod):
            return SKIP
        meaning = [one for one in services.list(pod.namespace) if selects(one, pod.pod)]
        if not meaning:
            return SKIP
        in_zone: Counter[str] = Counter()
        on_node: Counter[str] = Counter()
        for group in snapshot.alike:
            same = group.pod.namespace == pod.namespace and not group.going
            if same and all(selects(one, group.pod.pod) for one in meaning):
                on_node.update(group.nodes)
        for name, number in on_node.items():
            node = snapshot.node(name)
            if node is not None:
                in_zone[node.labels.get(ZONE, "")] += number
        return _state(snapshot, in_zone, on_node)

    return Score("PodTopologySpread", 2, _rate, prepare, scale="spread")


OF_REPLICAS = Score("PodTopologySpread", 2, _rate, _of_replicas, scale="spread", group=_group)
