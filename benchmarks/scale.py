"""How the control plane grows: twice as many pods as simulated nodes, from 100 to 5,000 nodes.

    python -m benchmarks scale

Each size in a system of its own. Ten Deployments are applied at once; measured is when every Node is Ready, when every pod
is Running and Ready, and the control plane's CPU and memory by then. The curve is what counts: work per pod should not grow.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import Any

from benchmarks.machine import PORT, Machine, cpu_seconds, pss_megabytes

SIZES = (100, 500, 1000, 5000)
PODS_PER_NODE = 2
WORKLOADS = 10
POLL_SECONDS = 0.25
PATIENCE_SECONDS = 300.0


class _Api:
    def __init__(self, machine: Machine) -> None:
        status = machine.status()
        pki = Path(status["stateDir"]) / "pki"
        self._server = status["apiServer"]
        self._context: SSLContext = create_default_context(cafile=str(pki / "ca.crt"))
        self._context.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def call(self, path: str, method: str = "GET", body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._server + path, data, headers, method=method)
        with urllib.request.urlopen(request, context=self._context, timeout=60) as answer:
            return json.load(answer)


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
        api = _Api(machine)
        _until(lambda: _count(api, "/api/v1/nodes?limit=1") > nodes)
        registered = time.perf_counter() - begin
        control_plane = machine.pids()["control-plane"][0]
        before, begin = cpu_seconds(control_plane), time.perf_counter()
        for number in range(WORKLOADS):
            api.call("/apis/apps/v1/namespaces/default/deployments", "POST", _workload(number, pods // WORKLOADS))
        _until(lambda: _ready(api) >= pods)
        seconds = time.perf_counter() - begin
        used = (cpu_seconds(control_plane) - before) * 1000 / pods
        memory = f"{pss_megabytes(control_plane):.0f} MB"
        return (
            f"{nodes} / {pods}", f"{registered:.1f} s", f"{seconds:.1f} s", f"{pods / seconds:.0f}", f"{used:.1f}", memory
        )  # fmt: skip
    finally:
        machine.close()


def _count(api: _Api, path: str) -> int:
    found = api.call(path)
    return len(found["items"]) + int(found["metadata"].get("remainingItemCount", 0))


def _ready(api: _Api) -> int:
    found = api.call("/apis/apps/v1/namespaces/default/deployments")["items"]
    return sum(each.get("status", {}).get("readyReplicas", 0) for each in found)


def _workload(number: int, replicas: int) -> Any:
    labels = {"app": f"w{number}"}
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    spec = {
        "nodeSelector": {"wherry.dev/simulated": "true"},
        "containers": [{"name": "main", "image": "simulated", "resources": resources}],
    }
    return {
        "metadata": {"name": f"w{number}"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def _until(done: Any) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not done():
        if time.monotonic() > end:
            raise RuntimeError(f"not done after {PATIENCE_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
