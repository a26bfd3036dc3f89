"""Replicas of one controller prefer nodes with few of their kind.

Stands for kube-scheduler's default constraints of topology spread over host names (`kubernetes.io/hostname`,
ScheduleAnyway), for pods that say nothing themselves. Kubernetes scales its count by the other nodes'; here the number is a
node's own, so that a decision need not look at all of them. Zones are spread over only when a pod asks for it.
"""

from __future__ import annotations

from typing import Any

from wherry.scheduler.framework import SCORE_MAX, SKIP, Score
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.snapshot import Snapshot


def _prepare(pod: PodInfo, snapshot: Snapshot) -> Any:
    return pod.owner if pod.owner and not pod.pod["spec"].get("topologySpreadConstraints") else SKIP


def _rate(pod: PodInfo, node: NodeInfo, owner: str) -> float:
    """100, 50, 33, 25 … with none, one, two, three there already."""
    return SCORE_MAX / (1 + node.replicas.get(owner, 0))


SCORE = Score("PodTopologySpread", 2, _rate, _prepare, local=True)
