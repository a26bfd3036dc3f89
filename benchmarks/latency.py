"""How soon the controllers and the scheduler act: from a Deployment's creation to its pods, to their nodes, to Running.

    python -m benchmarks latency

On simulated nodes, whose pods run as soon as their node hears of them: what remains is the control plane. Seen by a client
that watches; of a few rounds the median. `runs` is when the last of the pods does.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.machine import PORT, Machine
from benchmarks.scale_workloads import template
from benchmarks.system_api import Api, until

NODES = 100
SIZES = {1: 9, 100: 3, 1000: 3}
"""Pods of one Deployment -> rounds."""
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def rows() -> Iterator[tuple[str, ...]]:
    machine = Machine(PORT + 1)
    try:
        machine.up("--simulated-nodes", str(NODES))
        api = Api(machine)
        until(
            lambda: api.count("/api/v1/nodes") > NODES and api.count("/api/v1/namespaces/default/serviceaccounts") > 0
        )
        yield ("Deployment created → (milliseconds)", "first pod", "all pods", "all placed", "all run")
        for size, rounds in SIZES.items():
            found = [_round(api, f"r{size}-{number}", size) for number in range(rounds)]
            medians = [statistics.median(column) for column in zip(*found, strict=True)]
            yield (f"{size} pods", *(f"{value * 1000:.0f}" for value in medians))
    finally:
        machine.close()


class _Eye:
    """Watches the pods of one Deployment and notes when how many had come how far."""

    def __init__(self, api: Api, app: str, size: int) -> None:
        self._size = size
        self._events = api.watch(f"{PODS}?labelSelector=app%3D{app}")
        self._far: dict[str, dict[str, float]] = {"made": {}, "placed": {}, "runs": {}}
        self.done = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        for event in self._events:
            now, pod = time.perf_counter(), event["object"]
            name = pod["metadata"]["name"]
            self._far["made"].setdefault(name, now)
            if pod["spec"].get("nodeName"):
                self._far["placed"].setdefault(name, now)
            if pod.get("status", {}).get("phase") == "Running":
                self._far["runs"].setdefault(name, now)
            if len(self._far["runs"]) == self._size:
                break
        self.done.set()

    def times(self, begin: float) -> tuple[float, ...]:
        """Seconds until the first pod, all pods, all with a node, all running."""
        made, placed, runs = (list(self._far[key].values()) for key in ("made", "placed", "runs"))
        return min(made) - begin, max(made) - begin, max(placed) - begin, max(runs) - begin


def _round(api: Api, name: str, size: int) -> tuple[float, ...]:
    eye = _Eye(api, name, size)
    time.sleep(0.2)  # the watch stands
    spec = {"replicas": size, "selector": {"matchLabels": {"app": name}}, "template": template(name)}
    body: Any = {"metadata": {"name": name}, "spec": spec}
    begin = time.perf_counter()
    api.call(DEPLOYMENTS, "POST", body)
    if not eye.done.wait(120):
        raise RuntimeError(f"{size} pods do not run after two minutes")
    api.call(f"{DEPLOYMENTS}/{name}", "DELETE")
    until(lambda: api.count(PODS) == 0)
    return eye.times(begin)
