"""custom.metrics.k8s.io: what applications say of themselves, for the HorizontalPodAutoscaler and `kubectl get --raw`.

The node agents ask pods that carry `prometheus.io/scrape` when somebody asks here (`kubelet/scraping.py`); nothing is
kept. Metrics are of pods (`pods/NAME/METRIC`, `pods/*/METRIC?labelSelector=…`) and, summed over the pods behind it, of
Services (`services/NAME/METRIC`). An adapter that a user installs as an APIService of the same group takes our place.
Source: k8s.io/metrics, custom_metrics/v1beta2 and v1beta1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from wherry.aio.clock import Clock
from wherry.api import labels
from wherry.api.errors import StatusError, bad_request, method_not_allowed, not_found, path_not_found
from wherry.api.quantity import Quantity
from wherry.api.resources import PODS, SERVICES
from wherry.api.types import Obj
from wherry.apiserver.auth.user import User
from wherry.apiserver.filters.request_info import RequestInfo
from wherry.apiserver.http import Answer, Request, Response
from wherry.apiserver.kubelet_client import KubeletClient
from wherry.apiserver.negotiation import negotiate
from wherry.apiserver.registry.strategy import Reader
from wherry.apiserver.respond import write
from wherry.apiserver.serving import Published

GROUP = "custom.metrics.k8s.io"
VERSIONS = ("v1beta2", "v1beta1")
SCRAPE = "prometheus.io/scrape"


class _Told(Struct, frozen=True):
    """What one pod said last: thousandths by name."""

    pod: Obj
    time: str
    window: int
    metrics: dict[str, int]


class CustomMetricsAPI:
    """Answers every request below /apis/custom.metrics.k8s.io; `socket_of(node)` is the way to its kubelet."""

    def __init__(self, reader: Reader, socket_of: Callable[[str], str], clock: Clock) -> None:
        self._reader = reader
        self._kubelets = KubeletClient(socket_of)
        self._clock = clock

    def published(self) -> Published:
        return Published(
            group_versions=tuple((GROUP, version) for version in VERSIONS), group_priority=100, forward=self.answer
        )

    async def answer(self, request: Request, info: RequestInfo, user: User) -> Answer:
        """Raises StatusError."""
        if request.method != "GET":
            raise method_not_allowed(request.method)
        if not info.is_resource:
            version = info.path.strip("/").split("/")[2]
            answer = await self._discovery(version)
        elif info.namespace and info.name and info.subresource and not info.rest:
            answer = await self._values(request, info)
        else:
            raise path_not_found()
        if request.in_process:
            return Response(200, answer)
        return write(answer, negotiate(request.headers, request.query))

    async def _discovery(self, version: str) -> Obj:
        """Which metrics there are now."""
        names = sorted({name for told in await self._ask("") for name in told.metrics})
        entry = {"singularName": "", "namespaced": True, "kind": "MetricValueList", "verbs": ["get"]}
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{GROUP}/{version}",
            "resources": [{"name": f"{kind}/{name}", **entry} for kind in ("pods", "services") for name in names],
        }

    async def _values(self, request: Request, info: RequestInfo) -> Obj:
        metric = info.subresource
        if request.query.get("metricLabelSelector"):
            raise bad_request("metricLabelSelector: metrics are sums over all their labels here; leave it out")
        if info.resource == "pods":
            items = await self._of_pods(request, info, metric)
        elif info.resource == "services":
            items = [await self._of_service(info, metric)]
        else:
            raise _no_metric(metric, info.resource)
        return {
            "kind": "MetricValueList",
            "apiVersion": f"{GROUP}/{info.version}",
            "metadata": {},
            "items": [_shown(item, metric, info.version) for item in items],
        }

    async def _of_pods(self, request: Request, info: RequestInfo, metric: str) -> list[Obj]:
        try:
            selector = labels.Selector.parse(request.query.get("labelSelector", ""))
        except ValueError as error:
            raise bad_request(str(error)) from None
        if info.name != "*" and self._reader.get(PODS, info.name, info.namespace) is None:
            raise not_found("pods", info.name)
        found = [
            _item("Pod", "/v1", told.pod, told.metrics[metric], told)
            for told in await self._ask(info.namespace)
            if metric in told.metrics
            and (info.name in ("*", told.pod["metadata"]["name"]))
            and (info.name != "*" or selector.matches(told.pod["metadata"].get("labels")))
        ]
        if not found:
            raise _no_metric(metric, "pods")
        return found

    async def _of_service(self, info: RequestInfo, metric: str) -> Obj:
        """The sum over the pods its selector means."""
        service = self._reader.get(SERVICES, info.name, info.namespace)
        if service is None:
            raise not_found("services", info.name)
        wanted = service["spec"].get("selector") or {}
        behind = [
            told
            for told in await self._ask(info.namespace)
            if wanted
            and metric in told.metrics
            and wanted.items() <= (told.pod["metadata"].get("labels") or {}).items()
        ]
        if not behind:
            raise _no_metric(metric, "services")
        return _item("Service", "/v1", service, sum(told.metrics[metric] for told in behind), behind[0])

    async def _ask(self, namespace: str) -> list[_Told]:
        """Every node with a pod that wants to be asked; one that does not answer is left out."""
        nodes = {
            pod["spec"]["nodeName"]
            for pod in self._reader.list(PODS, namespace or None)
            if pod["spec"].get("nodeName") and (pod["metadata"].get("annotations") or {}).get(SCRAPE) == "true"
        }
        documents = await asyncio.gather(*(self._document(node) for node in sorted(nodes)))
        found = []
        for entry in (each for document in documents for each in document["pods"]):
            reference = entry["podRef"]
            if namespace and reference["namespace"] != namespace:
                continue
            pod = self._reader.get(PODS, reference["name"], reference["namespace"])
            if pod is not None and pod["metadata"]["uid"] == reference["uid"]:
                metrics = {name: round(value * 1000) for name, value in entry["metrics"].items()}
                found.append(_Told(pod, entry["time"], round(entry["window"]), metrics))
        return found

    async def _document(self, node: str) -> Any:
        try:
            return await self._kubelets.document(node, "/stats/metrics")
        except StatusError:
            return {"pods": []}


def _item(kind: str, api_version: str, obj: Obj, value: int, told: _Told) -> Obj:
    metadata = obj["metadata"]
    described = {
        "kind": kind, "namespace": metadata["namespace"], "name": metadata["name"], "apiVersion": api_version
    }  # fmt: skip
    return {
        "describedObject": described,
        "timestamp": told.time,
        "windowSeconds": told.window,
        "value": str(Quantity.from_milli(value)),
    }


def _shown(item: Obj, metric: str, version: str) -> Obj:
    named: Obj = {"metricName": metric} if version == "v1beta1" else {"metric": {"name": metric, "selector": None}}
    described = item["describedObject"]
    rest = {key: item[key] for key in ("timestamp", "windowSeconds", "value")}
    return {"describedObject": described, **named, **rest, **({"selector": None} if version == "v1beta1" else {})}


def _no_metric(metric: str, resource: str) -> StatusError:
    """404 as adapters answer it."""
    return StatusError(
        404, "NotFound", f"the server could not find the metric {metric} for {resource}", {"name": metric}
    )
