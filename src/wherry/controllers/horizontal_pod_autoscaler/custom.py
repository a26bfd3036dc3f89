"""Metrics of types Pods, Object and External: read from custom.metrics.k8s.io and external.metrics.k8s.io, whoever serves them.

The decisions are pure functions of values in thousandths, so that `500m` requests per second can be a target. Source: the
documented algorithm and the API of HorizontalPodAutoscaler v2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from wherry.aio.clock import parse_rfc3339
from wherry.api.errors import StatusError
from wherry.api.labels import Selector
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.client.rest import Client
from wherry.controllers.horizontal_pod_autoscaler.usage import Count, NoReplicaCount, Sample, Tolerance
from wherry.reconcile.pods import condition, is_terminating, phase

CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"
PLURALS = {"Pod": "pods", "Service": "services", "Namespace": "namespaces", "Ingress": "ingresses", "Node": "nodes"}
"""Of kinds an Object metric may describe; others are lower-cased with an `s`, as RESTMapper guesses."""

NOT_SERVED = "the server could not find the requested resource"


def milli(text: object) -> int:
    return Quantity.parse(str(text)).milli_value()


async def of_pods(client: Client, namespace: str, selector: str, metric: Obj) -> dict[str, Sample]:
    """Of every pod the selector means. Raises NoReplicaCount."""
    name, query = metric["name"], _query(metric)
    path = f"{CUSTOM}/namespaces/{namespace}/pods/*/{name}"
    items = await _ask(client, path, {**query, "labelSelector": selector}, f"metric {name}", "custom metrics API")
    return {
        item["describedObject"]["name"]: Sample(
            milli(item["value"]), parse_rfc3339(item["timestamp"]), float(item.get("windowSeconds") or 0)
        )
        for item in items
    }


async def of_object(client: Client, namespace: str, described: Obj, metric: Obj) -> int:
    """Of one object. Raises NoReplicaCount."""
    kind = described["kind"]
    group = (described.get("apiVersion") or "v1").rpartition("/")[0]
    plural = PLURALS.get(kind, f"{kind.lower()}s") + (f".{group}" if group else "")
    path = f"{CUSTOM}/namespaces/{namespace}/{plural}/{described['name']}/{metric['name']}"
    what = f"metric {metric['name']}: {kind} on {namespace} {described['name']}"
    items = await _ask(client, path, _query(metric), what, "custom metrics API")
    return milli(items[0]["value"])


async def external(client: Client, namespace: str, metric: Obj) -> int:
    """The sum of all series that the selector means. Raises NoReplicaCount."""
    query = _query(metric)
    if "metricLabelSelector" in query:
        query = {"labelSelector": query["metricLabelSelector"]}
    path = f"{EXTERNAL}/namespaces/{namespace}/{metric['name']}"
    what = f"external metric {namespace}/{metric['name']}/{selector_text(metric.get('selector'))}"
    found = f"{metric['name']}.external.metrics.k8s.io"
    items = await _ask(client, path, query, what, "external metrics API", resource=found)
    return sum(milli(item["value"]) for item in items)


def selector_text(selector: Obj | None) -> str:
    """A label selector as Kubernetes prints one into messages about external metrics."""
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    needs = "".join(
        f"LabelSelectorRequirement{{Key:{one['key']},Operator:{one['operator']},"
        f"Values:[{' '.join(one.get('values') or ())}],}},"
        for one in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{needs}}},}}"
    )


async def _ask(
    client: Client, path: str, query: dict[str, str], what: str, source: str, *, resource: str = ""
) -> list[Obj]:
    """`resource` is named in the message when nobody serves the API."""
    try:
        found = await client.transport.request("GET", path, query=query)
    except (StatusError, ConnectionError) as error:
        text = error.message if isinstance(error, StatusError) else str(error)
        if resource and text == NOT_SERVED:
            text = f"{text} (get {resource})"
        raise NoReplicaCount(f"unable to get {what}: unable to fetch metrics from {source}: {text}") from None
    items: list[Obj] = found.get("items") or []
    if not items:
        raise NoReplicaCount(f"unable to get {what}: no metrics returned from {source}")
    return items


def _query(metric: Obj) -> dict[str, str]:
    selector = metric.get("selector")
    return {"metricLabelSelector": str(Selector.from_object(selector))} if selector else {}


def for_value(value: int, target: int, pods: Iterable[Obj], current: int, tolerance: Tolerance) -> int:
    """Replicas for a target of the whole: grow as the value does, from the pods that are ready."""
    ratio = value / target
    if current == 0:
        return math.ceil(ratio)  # there is nothing to multiply with
    if tolerance.covers(ratio):
        return current
    return math.ceil(ratio * sum(_is_ready(pod) for pod in pods))


def for_average(value: int, target: int, current: int, tolerance: Tolerance) -> Count:
    """Replicas for a target per pod of a value that is not measured by pod."""
    ratio = value / (target * current) if current else math.inf
    replicas = current if tolerance.covers(ratio) else math.ceil(value / target)
    return Count(replicas, math.ceil(value / current) if current else 0)


def _is_ready(pod: Obj) -> bool:
    ready = condition(pod, "Ready")
    return phase(pod) == "Running" and not is_terminating(pod) and ready is not None and ready["status"] == "True"
