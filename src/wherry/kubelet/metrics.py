"""/metrics, /metrics/resource and /metrics/cadvisor of a node, made of what /stats/summary knows.

Pure: a Summary and the node's pods in, Prometheus text out. Names are those of the kubelet and of cAdvisor, for what is
measured here: CPU and memory of containers, pods and the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wherry.aio.clock import parse_rfc3339 as parse
from wherry.api import exposition
from wherry.api.exposition import Family, Sample
from wherry.api.types import Obj

NANO = 1e-9


def resource(summary: Obj, _: Sequence[Obj] = ()) -> bytes:
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


def cadvisor(summary: Obj, pods: Sequence[Obj] = ()) -> bytes:
    """/metrics/cadvisor: containers by pod, the node as the container `/`. Dashboards drop what has no image."""
    node = summary["node"]
    whole: list[tuple[dict[str, str], Obj]] = [({"id": "/"}, node)]
    known = {key: labels for pod in pods for key, labels in _identities(pod)}
    found = whole + [
        ({**labels, **known.get((pod["podRef"]["uid"], each["name"]), {})}, each)
        for pod in summary["pods"]
        for labels, each in _containers([pod])
    ]
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
            "container_memory_rss",
            "gauge",
            "Anonymous memory.",
            (Sample(labels, each["memory"]["rssBytes"]) for labels, each in found if "rssBytes" in each["memory"]),
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


def kubelet(summary: Obj, _: Sequence[Obj] = ()) -> bytes:
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


def _identities(pod: Obj) -> Iterable[tuple[tuple[str, str], dict[str, str]]]:
    """((uid of the pod, container), labels that say what it runs)."""
    uid, status = pod["metadata"]["uid"], pod.get("status") or {}
    for each in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        container = (each.get("containerID") or "").rpartition("/")[2]
        labels = {"image": each.get("image") or "", "name": container, "id": f"/kubepods/pod{uid}/{container}"}
        yield (uid, each["name"]), labels


def _cpu(labels: dict[str, str], of: Obj) -> Sample:
    return Sample(labels, of["cpu"]["usageCoreNanoSeconds"] * NANO, at=parse(of["cpu"]["time"]))


def _memory(labels: dict[str, str], of: Obj) -> Sample:
    return Sample(labels, of["memory"]["workingSetBytes"], at=parse(of["memory"]["time"]))
