"""metrics.k8s.io/v1beta1: what nodes and pods use now, for `kubectl top` and the HorizontalPodAutoscaler.

Read from the kubelets' Summary API (`/stats/summary`) when somebody asks, at most once a second per node. A node that
does not answer is left out, as metrics-server leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from wherry.aio.clock import Clock, rfc3339
from wherry.api import fields, labels
from wherry.api.errors import StatusError, bad_request, not_found
from wherry.api.resources import NODES, PODS
from wherry.api.scheme import Resource
from wherry.api.types import GVR, Obj
from wherry.apiserver.discovery import METRICS
from wherry.apiserver.filters.request_info import RequestInfo
from wherry.apiserver.http import Answer, Request, Response
from wherry.apiserver.kubelet_client import KubeletClient
from wherry.apiserver.negotiation import negotiate
from wherry.apiserver.registry.strategy import Reader
from wherry.apiserver.respond import write

GROUP = "metrics.k8s.io"
FRESH_SECONDS = 1.0
RESOURCES: dict[GVR, Resource] = {resource.gvr: resource for resource in METRICS}


class _Summary(Struct):
    """One node's answer and when it came (monotonic seconds)."""

    taken: float
    summary: Obj


class MetricsAPI:
    """The resources `nodes` and `pods` of metrics.k8s.io."""

    def __init__(self, reader: Reader, socket_of: Callable[[str], str], clock: Clock) -> None:
        self._reader = reader
        self._kubelets = KubeletClient(socket_of)
        self._clock = clock
        self._summaries: dict[str, _Summary] = {}
        self.simulated: Callable[[str], Obj | None] = lambda node: None
        """The Summary of a node that only pretends, which has no kubelet to ask; None of every other."""

    async def handle(self, request: Request, info: RequestInfo, resource: Resource) -> Answer:
        """GET of one or of many. Raises 400, 404."""
        items = await (self._nodes() if resource.resource == "nodes" else self._pods(info.namespace))
        if info.name:
            found = next((each for each in items if each["metadata"]["name"] == info.name), None)
            if found is None:
                raise not_found(resource.resource, info.name, GROUP)
            answer = {"kind": resource.kind, "apiVersion": resource.api_version, **found}
        else:
            answer = {
                "kind": f"{resource.kind}List",
                "apiVersion": resource.api_version,
                "metadata": {},
                "items": _select(request, items),
            }
        if request.in_process:
            return Response(200, answer)
        return write(answer, negotiate(request.headers, request.query))

    async def _nodes(self) -> list[Obj]:
        found: list[Obj] = []
        for node in self._reader.list(NODES):
            summary = await self._summary(node["metadata"]["name"])
            stats = (summary or {}).get("node") or {}
            usage = _usage(stats)
            if usage is not None:
                found.append(self._metrics(node, [stats], {"usage": usage}))
        return found

    async def _pods(self, namespace: str) -> list[Obj]:
        found: list[Obj] = []
        placed = {pod["spec"].get("nodeName", "") for pod in self._reader.list(PODS, namespace or None)}
        for node in sorted(placed - {""}):
            summary = await self._summary(node)
            for stats in (summary or {}).get("pods") or []:
                reference = stats.get("podRef") or {}
                if namespace and reference.get("namespace") != namespace:
                    continue
                pod = self._reader.get(PODS, reference.get("name", ""), reference.get("namespace"))
                used = [(each, usage) for each in stats.get("containers") or () if (usage := _usage(each)) is not None]
                if pod is not None and used and pod["metadata"].get("uid") == reference.get("uid"):
                    containers = [{"name": each["name"], "usage": usage} for each, usage in used]
                    found.append(self._metrics(pod, [each for each, _ in used], {"containers": containers}))
        return found

    def _metrics(self, obj: Obj, measured: Sequence[Obj], usage: Obj) -> Obj:
        """Of several the earliest time and the longest window count: a window must not seem to begin later than it did."""
        kept = ("name", "namespace", "labels")
        metadata = {key: obj["metadata"][key] for key in kept if key in obj["metadata"]}
        return {
            "metadata": {**metadata, "creationTimestamp": rfc3339(self._clock.time())},
            "timestamp": min(each["cpu"]["time"] for each in measured),
            "window": f"{max(each['cpu']['windowSeconds'] for each in measured):g}s",
            **usage,
        }

    async def _summary(self, node: str) -> Obj | None:
        pretended = self.simulated(node)
        if pretended is not None:
            return pretended
        known = self._summaries.get(node)
        now = self._clock.monotonic()
        if known is not None and now - known.taken < FRESH_SECONDS:
            return known.summary
        try:
            summary: Obj = await self._kubelets.document(node, "/stats/summary")
        except StatusError:
            self._summaries.pop(node, None)
            return None
        self._summaries[node] = _Summary(now, summary)
        return summary


def _usage(stats: Obj) -> Obj | None:
    """A ResourceList as metrics-server writes it: nanocores and Ki; None until both are known."""
    cpu = (stats.get("cpu") or {}).get("usageNanoCores")
    memory = (stats.get("memory") or {}).get("workingSetBytes")
    if cpu is None or memory is None:
        return None
    return {"cpu": f"{int(cpu)}n" if cpu else "0", "memory": f"{int(memory) // 1024}Ki" if memory else "0"}


def _select(request: Request, items: list[Obj]) -> list[Obj]:
    try:
        selector = labels.Selector.parse(request.query.get("labelSelector", ""))
        wanted = fields.Selector.parse(request.query.get("fieldSelector", ""))
    except ValueError as error:
        raise bad_request(str(error)) from None

    def matches(item: Any) -> bool:
        metadata = item["metadata"]
        names = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
        return selector.matches(metadata.get("labels")) and wanted.matches(names)

    return [item for item in items if matches(item)]
