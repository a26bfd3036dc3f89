"""A workload scaled by what it says of itself: the node agent asks it, custom.metrics.k8s.io offers it, nothing is installed."""

from __future__ import annotations

from kubectl import Kubectl
from manifests import container, deployment, program
from wherry_system import until


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
