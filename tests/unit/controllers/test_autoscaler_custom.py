"""Targets of metrics that are not cpu or memory: of pods, of one object, from outside."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wherry.aio.clock import ManualClock, rfc3339
from wherry.api.errors import not_found
from wherry.api.types import Obj
from wherry.client.rest import Client
from wherry.controllers.horizontal_pod_autoscaler.custom import for_average, for_value, selector_text
from wherry.controllers.horizontal_pod_autoscaler.metrics import Asked, Measured, Metrics
from wherry.controllers.horizontal_pod_autoscaler.usage import Tolerance

NOW = 1_700_000_000.0


def a_pod(name: str, ready: bool = True) -> Obj:
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": rfc3339(NOW - 99)}
    status = {"phase": "Running", "startTime": rfc3339(NOW - 1000), "conditions": [condition]}
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c"}]}, "status": status}


class Adapter:
    """A metrics API that knows `answers`: path -> values, or nothing (404)."""

    def __init__(self, answers: dict[str, list[Obj]]) -> None:
        self.answers = answers
        self.queries: list[dict[str, str]] = []

    async def request(self, method: str, path: str, *, query: Any = None, **_: Any) -> Obj:
        self.queries.append(dict(query or {}))
        if path not in self.answers:
            raise not_found("x", "y")
        return {"items": self.answers[path]}


def measure(answers: dict[str, list[Obj]], *specs: Obj, pods: int = 2) -> tuple[Measured, Adapter]:
    adapter = Adapter(answers)
    asked = Asked("shop", "app=web", [a_pod(f"p{number}") for number in range(pods)], pods, pods, Tolerance())
    metrics = Metrics(Client(adapter), ManualClock(NOW))  # type: ignore[arg-type]
    return asyncio.run(metrics.measure(specs, asked)), adapter


def value(name: str, amount: str) -> Obj:
    return {"describedObject": {"name": name}, "timestamp": rfc3339(NOW), "windowSeconds": 1, "value": amount}


CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop"
PODS: Obj = {
    "type": "Pods",
    "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "50"}},
}


def test_of_pods() -> None:
    found, adapter = measure(
        {f"{CUSTOM}/pods/*/rps": [value("p0", "90"), value("p1", "110500m"), value("x", "9k")]}, PODS
    )
    assert (found.replicas, found.name, found.failures) == (5, "pods metric rps", [])
    assert adapter.queries == [{"labelSelector": "app=web"}]
    (status,) = found.statuses
    assert status == {"type": "Pods", "pods": {"metric": {"name": "rps"}, "current": {"averageValue": "100250m"}}}


def test_of_pods_with_a_selector() -> None:
    spec = {
        "type": "Pods",
        "pods": {**PODS["pods"], "metric": {"name": "rps", "selector": {"matchLabels": {"a": "b"}}}},
    }
    _, adapter = measure({f"{CUSTOM}/pods/*/rps": [value("p0", "50")]}, spec)
    assert adapter.queries == [{"labelSelector": "app=web", "metricLabelSelector": "a=b"}]


def of_service(**target: str) -> Obj:
    described = {"apiVersion": "v1", "kind": "Service", "name": "web"}
    return {"type": "Object", "object": {"describedObject": described, "metric": {"name": "rps"}, "target": target}}


def test_of_an_object() -> None:
    answers = {f"{CUSTOM}/services/web/rps": [value("web", "300")]}
    found, _ = measure(answers, of_service(type="Value", value="100"))
    assert (found.replicas, found.name) == (6, "Service metric rps")
    assert found.statuses[0]["object"]["current"] == {"value": "300"}
    found, _ = measure(answers, of_service(type="AverageValue", averageValue="100"))
    assert found.replicas == 3
    assert found.statuses[0]["object"]["current"] == {"averageValue": "150"}


def test_of_an_object_of_a_group() -> None:
    described = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "web"}
    spec = of_service(type="Value", value="100")
    spec["object"]["describedObject"] = described
    found, _ = measure({f"{CUSTOM}/ingresses.networking.k8s.io/web/rps": [value("web", "200")]}, spec)
    assert found.replicas == 4


def test_from_outside() -> None:
    metric = {"name": "queue", "selector": {"matchLabels": {"topic": "orders"}}}
    spec = {
        "type": "External",
        "external": {"metric": metric, "target": {"type": "AverageValue", "averageValue": "30"}},
    }
    found, adapter = measure({f"{EXTERNAL}/queue": [{"value": "100"}, {"value": "35"}]}, spec)
    assert found.replicas == 5
    assert adapter.queries == [{"labelSelector": "topic=orders"}]


EXTERNALLY: Obj = {
    "type": "External",
    "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "30"}},
}


@pytest.mark.parametrize(
    ("spec", "reason", "text", "first"),
    [
        (
            PODS,
            "FailedGetPodsMetric",
            "unable to get metric rps: unable to fetch metrics from custom metrics API",
            "failed to get pods metric value: ",
        ),
        (
            of_service(type="Value", value="1"),
            "FailedGetObjectMetric",
            "unable to get metric rps: Service on shop web: unable to fetch",
            "failed to get object metric value: ",
        ),
        (
            EXTERNALLY,
            "FailedGetExternalMetric",
            "unable to get external metric shop/queue/nil: unable to fetch metrics from external metrics API",
            "failed to get queue external metric value: failed to get queue external metric: ",
        ),
    ],
)
def test_what_cannot_be_read(spec: Obj, reason: str, text: str, first: str) -> None:
    found, _ = measure({}, spec)
    ((told, message),) = found.failures
    assert told == reason
    assert message.startswith(text)
    assert found.invalid == f"invalid metrics (1 invalid out of 1), first error is: {first}{message}"


def test_pods_that_say_nothing_yet() -> None:
    found, _ = measure({f"{CUSTOM}/pods/*/rps": [value("stranger", "1")]}, PODS)
    assert found.failures == [
        ("FailedGetPodsMetric", "did not receive metrics for targeted pods (pods might be unready)")
    ]


def test_the_metric_that_asks_for_most_counts() -> None:
    answers = {f"{CUSTOM}/pods/*/rps": [value("p0", "50")], f"{CUSTOM}/services/web/rps": [value("web", "800")]}
    found, _ = measure(answers, PODS, of_service(type="AverageValue", averageValue="100"))
    assert (found.replicas, found.name) == (8, "external metric rps(nil)")
    found, _ = measure(answers, PODS, of_service(type="Value", value="100"))
    assert (found.replicas, found.name) == (16, "Service metric rps")


def test_a_selector_in_messages() -> None:
    assert selector_text(None) == "nil"
    needs = [{"key": "env", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"}]
    assert selector_text({"matchLabels": {"topic": "orders", "app": "web"}, "matchExpressions": needs}) == (
        "&LabelSelector{MatchLabels:map[string]string{app: web,topic: orders,},"
        "MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:env,Operator:In,Values:[a b],},"
        "LabelSelectorRequirement{Key:old,Operator:DoesNotExist,Values:[],},},}"
    )


def test_values_of_the_whole() -> None:
    pods = [a_pod("a"), a_pod("b", ready=False)]
    assert for_value(1050, 1000, pods, 2, Tolerance()) == 2  # within a tenth
    assert for_value(3000, 1000, pods, 2, Tolerance()) == 3  # only the ready one counts
    assert for_value(2500, 1000, [], 0, Tolerance()) == 3  # from nothing
    assert for_average(2500, 1000, 0, Tolerance()).replicas == 3
    assert for_average(2100, 1000, 2, Tolerance()).replicas == 2
