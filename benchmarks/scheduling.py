"""Decisions of the scheduler per second among 100 to 5,000 nodes, twice as many pods as nodes being placed before.

    python -m benchmarks scheduling

The decisions alone, in one process: no API, no bindings. Read along a row: replicas should cost the same everywhere, pods
about which other pods matter cost what looking at the others costs.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from wherry.scheduler.decision import Fit, decide
from wherry.scheduler.framework import Filter, Score
from wherry.scheduler.plugins import (
    default_spread,
    image_locality,
    node_affinity,
    node_basics,
    node_resources,
    pod_topology_spread,
    taint_toleration,
)
from wherry.scheduler.plugins.inter_pod_affinity import inter_pod_affinity
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.ranking import Rankings
from wherry.scheduler.snapshot import Snapshot

SIZES = (100, 500, 1_000, 5_000)
SECONDS = 2.0
"""Of deciding, per figure."""


class _Nothing:
    """Informers of a cluster without namespaces' labels, Services and volumes."""

    def get(self, name: str, namespace: str | None = None) -> Any:
        return None

    def list(self, namespace: str | None = None) -> list[Any]:
        return []


_AFFINITY = inter_pod_affinity(_Nothing())
_FILTERS: tuple[Filter, ...] = (
    node_basics.NODE_UNSCHEDULABLE,
    node_basics.NODE_NAME,
    taint_toleration.FILTER,
    node_affinity.FILTER,
    node_basics.NODE_PORTS,
    node_resources.FILTER,
    pod_topology_spread.FILTER,
    _AFFINITY[0],
)
_SCORES: tuple[Score, ...] = (
    taint_toleration.SCORE,
    node_affinity.SCORE,
    node_resources.LEAST_ALLOCATED,
    node_resources.BALANCED,
    pod_topology_spread.SCORE,
    default_spread.OF_REPLICAS,
    default_spread.of_services(_Nothing()),
    image_locality.SCORE,
    _AFFINITY[1],
)
_TERM = {"labelSelector": {"matchLabels": {"app": "w"}}, "topologyKey": "kubernetes.io/hostname"}
_ZONES = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
KINDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "replicas of one Deployment": lambda number: {},
    "pods that all differ": lambda number: {"tolerations": [{"key": f"k{number}", "operator": "Exists"}]},
    "that should keep apart by zone (skew 1)": lambda number: {
        "topologySpreadConstraints": [{**_ZONES, "labelSelector": {"matchLabels": {"app": "w"}}}]
    },
    "that prefer to be apart by node": lambda number: {
        "affinity": {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": _TERM}]
            }
        }
    },
}


def rows() -> Iterator[tuple[str, ...]]:
    yield ("decisions/s among so many nodes", *(f"{size:,}" for size in SIZES))
    for name, spec in KINDS.items():
        yield (name, *(f"{_measure(size, spec):,.0f}" for size in SIZES))


def _measure(nodes: int, spec: Callable[[int], dict[str, Any]]) -> float:
    snapshot, rng = Snapshot(), random.Random(1)
    for number in range(nodes):
        snapshot.put_node(_node(number))
    for number in range(2 * nodes):
        snapshot.assume(PodInfo.of(_pod(f"old{number}", {}, "old")), f"n{number % nodes}")
    rankings = Rankings(snapshot, _FILTERS, _SCORES, rng)
    start = decisions = 0
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end and decisions < 50 * nodes:
        pod = PodInfo.of(_pod(f"new{decisions}", spec(decisions), "w"))
        chosen = rankings.choose(pod)
        if chosen is None:
            outcome = decide(pod, snapshot, _FILTERS, _SCORES, rng, start=start)
            assert isinstance(outcome, Fit), outcome
            chosen, start = outcome.node, (start + outcome.examined) % nodes
        snapshot.assume(pod, chosen)
        decisions += 1
    return decisions / (time.perf_counter() - end + SECONDS)


def _node(number: int) -> Any:
    labels = {"kubernetes.io/hostname": f"n{number}", "topology.kubernetes.io/zone": f"z{number % 3}"}
    amounts = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    return {"metadata": {"name": f"n{number}", "labels": labels}, "spec": {}, "status": {"allocatable": amounts}}


def _pod(name: str, spec: dict[str, Any], app: str) -> Any:
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    metadata = {
        "name": name,
        "uid": name,
        "namespace": "default",
        "labels": {"app": app},
        "ownerReferences": [{"kind": "ReplicaSet", "uid": app, "controller": True}],
    }
    containers = [{"name": "main", "image": "simulated", "resources": resources}]
    return {"metadata": metadata, "spec": {"containers": containers, **spec}}
