"""A Summary as Prometheus text: the names scrapers look for, labels, times."""

from __future__ import annotations

from typing import Any

from wherry.kubelet import metrics


def usage(nano_seconds: int, memory: int) -> dict[str, Any]:
    time = "2026-01-01T00:00:10Z"
    return {
        "cpu": {"time": time, "usageNanoCores": 5, "usageCoreNanoSeconds": nano_seconds},
        "memory": {"time": time, "usageBytes": memory, "workingSetBytes": memory},
    }


CONTAINER = {"name": "c", "startTime": "2026-01-01T00:00:00Z", **usage(1_500_000_000, 4096)}
SUMMARY = {
    "node": {"nodeName": "n1", **usage(9_000_000_000, 1 << 30)},
    "pods": [
        {
            "podRef": {"name": "p", "namespace": "shop", "uid": "u"},
            "containers": [CONTAINER],
            **usage(1_500_000_000, 4096),
        }
    ],
}
AT = "1767225610000"


def test_what_metrics_server_reads() -> None:
    lines = metrics.resource(SUMMARY).decode().splitlines()
    labels = '{container="c",namespace="shop",pod="p"}'
    assert f"container_cpu_usage_seconds_total{labels} 1.5 {AT}" in lines
    assert f"container_memory_working_set_bytes{labels} 4096 {AT}" in lines
    assert f"container_start_time_seconds{labels} 1767225600" in lines
    assert f'pod_memory_working_set_bytes{{namespace="shop",pod="p"}} 4096 {AT}' in lines
    assert f"node_cpu_usage_seconds_total 9 {AT}" in lines
    assert "# TYPE node_cpu_usage_seconds_total counter" in lines


def test_what_dashboards_read() -> None:
    status = {"name": "c", "image": "shop/cart:1", "containerID": "wherry://abc"}
    pod = {"metadata": {"uid": "u"}, "status": {"containerStatuses": [status]}}
    lines = metrics.cadvisor(SUMMARY, [pod]).decode().splitlines()
    labels = 'id="/kubepods/podu/abc",image="shop/cart:1",name="abc",namespace="shop",pod="p"'
    assert f'container_cpu_usage_seconds_total{{container="c",cpu="total",{labels}}} 1.5 {AT}' in lines
    assert f'container_memory_working_set_bytes{{id="/"}} {1 << 30} {AT}' in lines


def test_the_agent_itself() -> None:
    lines = metrics.kubelet(SUMMARY).decode().splitlines()
    assert {"kubelet_running_pods 1", 'kubelet_running_containers{container_state="running"} 1'} < set(lines)
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)
