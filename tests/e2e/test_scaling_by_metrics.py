"""A workload scaled by what it says of itself: the node agent asks it, custom.metrics.k8s.io offers it, nothing is installed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from kubectl import Kubectl
from manifests import Obj, container, deployment, pod, program, service
from wherry_system import until

CPU: Obj = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}},
}
RATE: Obj = {
    "type": "Pods",
    "pods": {"metric": {"name": "http_requests_per_second"}, "target": {"type": "AverageValue", "averageValue": "1"}},
}
"""Far less than one visitor asks for, however busy the machine is."""


def test_out_by_a_metric_of_the_application(kubectl: Kubectl) -> None:
    workers = deployment("workers", container(program("queue"), ports=[{"containerPort": 8080}]))
    workers["spec"]["template"]["metadata"]["annotations"] = {"prometheus.io/scrape": "true"}
    metric = {"metric": {"name": "waiting_jobs"}, "target": {"type": "AverageValue", "averageValue": "6"}}
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "workers"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "workers"},
            "maxReplicas": 3,
            "metrics": [{"type": "Pods", "pods": metric}],
        },
    }
    kubectl.apply(workers, autoscaler)
    kubectl.wait("deployment/workers", "jsonpath={.status.readyReplicas}=3")  # nine each, however many there are
    path = "{.status.currentMetrics[0].pods.current.averageValue}"
    kubectl.wait("hpa/workers", f"jsonpath={path}=9")
    assert "9/6" in kubectl("get", "hpa", "workers")
    raw = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{kubectl.namespace}/pods/*/waiting_jobs"
    until(lambda: kubectl("get", "--raw", raw).count('"value":"9"') == 3, "all three have been asked")


@pytest.mark.parametrize("metrics", [[RATE], [CPU, RATE]], ids=["rate", "cpu and rate"])
def test_out_under_load_and_back_in_without_flapping(
    kubectl: Kubectl, measured: Callable[[str, float], None], metrics: list[Obj]
) -> None:
    served = container(
        program("clerk"),
        ports=[{"containerPort": 8080}],
        readinessProbe={"httpGet": {"path": "/metrics", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 5},
        resources={"requests": {"cpu": "100m"}},
    )
    clerks = deployment("clerks", served)
    clerks["spec"]["template"]["metadata"]["annotations"] = {"prometheus.io/scrape": "true"}
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "clerks"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "clerks"},
            "maxReplicas": 3,
            "metrics": metrics,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 12}},
        },
    }
    kubectl.apply(clerks, service("clerks"), autoscaler)
    kubectl.wait("hpa/clerks", "condition=ScalingActive")
    kubectl.apply(pod("visitors", container(program("traffic", "http://clerks/"))))
    until(lambda: "began" in kubectl.run("logs", "visitors").stdout, "the first visitor")
    begun = time.monotonic()
    until(lambda: int(kubectl.path_of("{.spec.replicas}", "deployment/clerks")) > 1, "more clerks are wanted")
    measured("more replicas wanted under load", time.monotonic() - begun)
    kubectl.wait("deployment/clerks", "jsonpath={.status.readyReplicas}=3")
    measured("three replicas ready under load", time.monotonic() - begun)
    time.sleep(10)  # under load nothing changes any more
    assert sizes(kubectl)[-1] == 3
    kubectl("delete", "pod", "visitors")
    kubectl.wait("deployment/clerks", "jsonpath={.spec.replicas}=1")
    found = sizes(kubectl)
    top = found.index(3)
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)


def sizes(kubectl: Kubectl) -> list[int]:
    """All the autoscaler asked for, in order, each once: it would be asked for twice by one that flaps."""
    events = kubectl.json("events", "--field-selector", "involvedObject.name=clerks,reason=SuccessfulRescale")
    assert all(one["count"] == 1 for one in events["items"])
    events = sorted(events["items"], key=lambda one: int(one["metadata"]["resourceVersion"]))
    return [int(re.findall(r"New size: (\d+)", one["message"])[0]) for one in events]
