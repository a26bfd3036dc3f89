"""Performs the plan for a Service's EndpointSlices. Slices of deleted Services go by garbage collection."""

from __future__ import annotations

from wherry.api.errors import StatusError
from wherry.api.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.controllers.endpointslice.plan import MANAGED_BY, MANAGER, SERVICE_NAME, ZONE, Memory, plan
from wherry.reconcile.controller import Controller
from wherry.reconcile.expectations import EXPECTATION_SECONDS_MAX, Expectations
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.service_pods import Members, has_endpoints
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly

SERVICE_INDEX = "service"


def build(parts: Parts, *, workers: int = 5) -> Controller:
    """The controller, wired to the informers of Services, pods, nodes and EndpointSlices."""
    queue: WorkQueue[Request] = WorkQueue("endpointslice", parts.clock)
    services, pods = parts.factory.informer(SERVICES), parts.factory.informer(PODS)
    slices, nodes = parts.factory.informer(ENDPOINT_SLICES), parts.factory.informer(NODES)
    slices.add_index(SERVICE_INDEX, _service_keys)
    members = Members(services, pods, queue.add_after)
    reconciler = EndpointSliceReconciler(parts, services, members, slices, nodes, queue)
    slices.add_handler(reconciler.on_slice)
    nodes.add_handler(reconciler.on_node)
    sources = (services, pods, slices, nodes)
    return Controller("endpointslice", reconciler, queue, workers=workers, sources=sources)


def _service_keys(one: Obj) -> list[str]:
    """`namespace/service` of the slices that are ours."""
    labels = one["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY) != MANAGER or not labels.get(SERVICE_NAME):
        return []
    return [f"{one['metadata']['namespace']}/{labels[SERVICE_NAME]}"]


class EndpointSliceReconciler:
    """Waits for its own creations to become visible before it plans again: slices have no names of their own."""

    def __init__(
        self,
        parts: Parts,
        services: Informer,
        members: Members,
        slices: Informer,
        nodes: Informer,
        queue: WorkQueue[Request],
    ) -> None:
        self._client = parts.client
        self._services = services
        self._members = members
        self._slices = slices
        self._nodes = nodes
        self._recorder = parts.recorder
        self._queue = queue
        self._expectations = Expectations(parts.clock)
        self._memories: dict[Request, Memory] = {}

    def on_slice(self, type: str, one: Obj, old: Obj | None) -> None:
        for key in {*_service_keys(one), *(_service_keys(old) if old is not None else ())}:
            request = Request(*key.split("/", 1))
            if type == "added":
                self._expectations.creation_observed(request)
            self._queue.add_after(request, self._members.patience(request))

    def on_node(self, type: str, node: Obj, old: Obj | None) -> None:
        """A node's zone shows in its endpoints; the labels of a node hardly ever change."""
        if old is not None and _zone(old) != _zone(node):
            for service in self._services.list():
                self._queue.add(Request.of(service))

    async def reconcile(self, request: Request) -> Result | None:
        service = self._services.get(request.name, request.namespace)
        if service is None:
            self._expectations.forget(request)
            self._memories.pop(request, None)
            return None
        if not has_endpoints(service) or "deletionTimestamp" in service["metadata"]:
            return None
        if not self._expectations.satisfied(request):
            return Result(requeue_after=EXPECTATION_SECONDS_MAX)
        existing = self._slices.by_index(SERVICE_INDEX, f"{request.namespace}/{request.name}")
        pods = self._members.of(service)
        nodes = (self._nodes.get(name) for name in {pod["spec"].get("nodeName", "") for pod in pods})
        zones = {node["metadata"]["name"]: _zone(node) for node in nodes if node is not None}
        todo = plan(service, pods, existing, zones, self._memories.setdefault(request, Memory()))
        try:
            for one in todo.create:
                await self._create(request, one)
            for one in todo.update:
                await self._client.update(ENDPOINT_SLICES, one)
            for one in todo.delete:
                await delete_exactly(self._client, ENDPOINT_SLICES, one)
        except StatusError as error:
            if error.code not in (404, 409):
                text = f"Error updating Endpoint Slices for Service {request}: {error.message}"
                self._recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", text)
            raise
        return None

    async def _create(self, request: Request, one: Obj) -> None:
        self._expectations.expect_creations(request, 1)
        try:
            await self._client.create(ENDPOINT_SLICES, one)
        except (StatusError, ConnectionError):
            self._expectations.creation_observed(request)
            raise


def _zone(node: Obj) -> str:
    return str((node["metadata"].get("labels") or {}).get(ZONE, ""))
