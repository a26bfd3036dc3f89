"""Nodes and replicas by zone, kept up to date: what spreading over zones asks before each decision.

Bounded by the zones, and by the zones each placed workload is in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from wherry.scheduler.pod_info import PodInfo

ZONE: Final = "topology.kubernetes.io/zone"


class Zones:
    """A node without the label is in no zone."""

    def __init__(self) -> None:
        self.nodes: Counter[str] = Counter()
        self._replicas: dict[str, Counter[str]] = {}

    def replicas(self, kin: str) -> Mapping[str, int]:
        """How many pods of that kin each zone has; see `PodInfo.kin`."""
        return self._replicas.get(kin) or {}

    def count_node(self, labels: Mapping[str, str], sign: int) -> None:
        """A node with these labels came (+1) or went (-1)."""
        if ZONE in labels:
            _add(self.nodes, labels[ZONE], sign)

    def count(self, pod: PodInfo, labels: Mapping[str, str], sign: int) -> None:
        """The pod came to (+1) or left (-1) a node with these labels."""
        if not pod.kin or ZONE not in labels:
            return
        zones = self._replicas.setdefault(pod.kin, Counter())
        _add(zones, labels[ZONE], sign)
        if not zones:
            del self._replicas[pod.kin]


def _add(counter: Counter[str], key: str, sign: int) -> None:
    counter[key] += sign
    if not counter[key]:
        del counter[key]
