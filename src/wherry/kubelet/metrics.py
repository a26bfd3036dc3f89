"""/metrics, /metrics/resource and /metrics/cadvisor of a node, made of what /stats/summary knows.

Pure: a Summary in, Prometheus text out. Names are those of the kubelet and of cAdvisor, for what is measured here: CPU and
memory of containers, pods and the node.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from wherry.aio.clock import parse_rfc3339 as parse
from wherry.api import exposition
from wherry.api.exposition import Family, Sample
from wherry.api.types import Obj

NANO = 1e-9


def resource(summary: Obj) -> bytes:
    """/metrics/resource: what metrics-server reads."""
    node, pods = summary["node"], summary["pods"]
    families = [
        Family("node_cpu_usage_seconds_total", "counter", "CPU time of the node.", [_cpu({}, node)]),
        Family("node_memory_working_set_bytes", "gauge", "Working set of the node.", [_memory({}, node)]),
        _family("pod_cpu_usage_seconds_total", "counter", "CPU time of pods.", (_cpu(_pod(p), p) for p in pods)),
        _family("pod_memory_working_set_bytes", "gauge", "Working set of pods.", (_memory(_pod(p), p) for p in pods)),
        _family(
            "container_cpu_usage_seconds_total",
            "counter",
            "CPU time of containers.",
            (_cpu(labels, container) for labels, container in _containers(pods)),
        ),
        _family(
            "container_memory_working_set_bytes",
            "gauge",
            "Working set of containers.",
            (_memory(labels, container) for labels, container in _containers(pods)),
        ),
        _family(
            "container_start_time_seconds",
            "gauge",
            "When containers started.",
            (Sample(labels, parse(container["startTime"])) for labels, container in _containers(pods)),
        ),
        Family("resource_scrape_error", "gauge", "1 when something could not be measured.", [Sample({}, 0)]),
    ]
    return exposition.text(families)


def cadvisor(summary: Obj) -> bytes:
    """/metrics/cadvisor: containers by pod, the node as the container `/`."""
    node = summary["node"]
    whole: list[tuple[dict[str, str], Obj]] = [({"id": "/"}, node)]
    found = list(chain(whole, _containers(summary["pods"])))
    families = [
        _family(
            "container_cpu_usage_seconds_total",
            "counter",
            "CPU time used.",
            (_cpu({"cpu": "total", **labels}, each) for labels, each in found),
        ),
        _family(
            "container_memory_working_set_bytes",
            "gauge",
            "Working set.",
            (_memory(labels, each) for labels, each in found),
        ),
        _family(
            "container_memory_usage_bytes",
            "gauge",
            "Memory in use.",
            (
                Sample(labels, each["memory"].get("usageBytes", each["memory"]["workingSetBytes"]))
                for labels, each in found
            ),
        ),
    ]
    return exposition.text(families)


def kubelet(summary: Obj) -> bytes:
    """/metrics: the agent itself."""
    pods = summary["pods"]
    count = sum(len(pod["containers"]) for pod in pods)
    running = [Sample({"container_state": "running"}, count)]
    families = [
        Family("kubelet_running_pods", "gauge", "Pods with a running container.", [Sample({}, len(pods))]),
        Family("kubelet_running_containers", "gauge", "Containers by state.", running),
        Family("kubelet_node_name", "gauge", "The node's name.", [Sample({"node": summary["node"]["nodeName"]}, 1)]),
        *exposition.process(),
    ]
    return exposition.text(families)


def _family(name: str, kind: str, help: str, samples: Iterable[Sample]) -> Family:
    return Family(name, "counter" if kind == "counter" else "gauge", help, list(samples))


def _pod(pod: Obj) -> dict[str, str]:
    reference = pod["podRef"]
    return {"namespace": reference["namespace"], "pod": reference["name"]}


def _containers(pods: Iterable[Obj]) -> Iterable[tuple[dict[str, str], Obj]]:
    return [({"container": each["name"], **_pod(pod)}, each) for pod in pods for each in pod["containers"]]


def _cpu(labels: dict[str, str], of: Obj) -> Sample:
    return Sample(labels, of["cpu"]["usageCoreNanoSeconds"] * NANO, at=parse(of["cpu"]["time"]))


def _memory(labels: dict[str, str], of: Obj) -> Sample:
    return Sample(labels, of["memory"]["workingSetBytes"], at=parse(of["memory"]["time"]))
