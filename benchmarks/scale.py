"""How the control plane grows: twice as many pods as simulated nodes, from 100 to 5,000 nodes.

    python -m benchmarks scale

Each size in a system of its own. Ten Deployments are applied at once; measured is when every Node is Ready, when every pod
is Running and Ready, and the control plane's CPU and memory by then. The curve is what counts: work per pod should not grow.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.machine import PORT, Machine, cpu_seconds, pss_megabytes
from benchmarks.scale_workloads import template
from benchmarks.system_api import Api, until

SIZES = (100, 500, 1000, 5000)
PODS_PER_NODE = 2
WORKLOADS = 10


def rows() -> Iterator[tuple[str, ...]]:
    yield ("simulated nodes / pods", "nodes Ready", "pods Ready", "pods/s", "CPU ms/pod", "memory")
    for size in SIZES:
        yield _measure(size)


def _measure(nodes: int) -> tuple[str, ...]:
    pods = nodes * PODS_PER_NODE
    machine = Machine(PORT + 1)
    try:
        begin = time.perf_counter()
        machine.up("--simulated-nodes", str(nodes))
        api = Api(machine)
        until(lambda: api.count("/api/v1/nodes") > nodes)
        registered = time.perf_counter() - begin
        control_plane = machine.pids()["control-plane"][0]
        before, begin = cpu_seconds(control_plane), time.perf_counter()
        for number in range(WORKLOADS):
            api.call("/apis/apps/v1/namespaces/default/deployments", "POST", _workload(number, pods // WORKLOADS))
        until(lambda: _ready(api) >= pods)
        seconds = time.perf_counter() - begin
        used = (cpu_seconds(control_plane) - before) * 1000 / pods
        memory = f"{pss_megabytes(control_plane):.0f} MB"
        return (
            f"{nodes} / {pods}", f"{registered:.1f} s", f"{seconds:.1f} s", f"{pods / seconds:.0f}", f"{used:.1f}", memory
        )  # fmt: skip
    finally:
        machine.close()


def _ready(api: Api) -> int:
    found = api.call("/apis/apps/v1/namespaces/default/deployments")["items"]
    return sum(each.get("status", {}).get("readyReplicas", 0) for each in found)


def _workload(number: int, replicas: int) -> Any:
    name = f"w{number}"
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(name)}
    return {"metadata": {"name": name}, "spec": spec}
