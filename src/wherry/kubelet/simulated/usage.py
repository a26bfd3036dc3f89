"""What a simulated node's kubelet would answer to `/stats/summary`: CPU and memory as the scripts of its pods say. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.kubelet import pod_spec
from wherry.kubelet.simulated.life import Life
from wherry.kubelet.simulated.script import used

WINDOW_SECONDS = 1.0
"""Scripts say what is used at a moment; a real node measures over about so long."""


def summary(node: str, pods: Iterable[tuple[Obj, Life]], now: float) -> Obj:
    """kubelet's stats/v1alpha1 Summary, the parts that metrics.k8s.io and HPA read. Nano-cores and bytes."""
    found = [stats for pod, life in pods if (stats := _pod(pod, life, now)) is not None]
    cores = sum(each["cpu"]["usageNanoCores"] for each in found)
    memory = sum(each["memory"]["workingSetBytes"] for each in found)
    return {"node": {"nodeName": node, **_amounts(cores, memory, now)}, "pods": found}


def _pod(pod: Obj, life: Life, now: float) -> Obj | None:
    """None of a pod that does not run."""
    if life.started_at is None:
        return None
    since = now - life.started_at
    each = _amounts(used(life.script.cpu, since), used(life.script.memory, since), now)
    containers = [
        {"name": container["name"], "startTime": rfc3339(life.started_at), **each}
        for container in (*pod_spec.sidecars(pod), *pod_spec.containers(pod))
    ]
    metadata = pod["metadata"]
    return {
        "podRef": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
        "startTime": rfc3339(life.created_at),
        "containers": containers,
        **_amounts(
            each["cpu"]["usageNanoCores"] * len(containers), each["memory"]["workingSetBytes"] * len(containers), now
        ),
    }


def _amounts(cores: int, memory: int, now: float) -> Obj:
    stamp = rfc3339(now)
    return {
        "cpu": {"time": stamp, "usageNanoCores": cores, "windowSeconds": WINDOW_SECONDS},
        "memory": {"time": stamp, "usageBytes": memory, "workingSetBytes": memory},
    }
