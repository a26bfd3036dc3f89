"""Stores the Endpoints object of a Service when it changes, and deletes it with the Service."""

from __future__ import annotations

from wherry.api.errors import StatusError, is_already_exists
from wherry.api.resources import ENDPOINTS, PODS, SERVICES
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.controllers.endpoints.plan import MANAGED_BY, MANAGER, desired
from wherry.reconcile.controller import Controller
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.service_pods import Members, has_endpoints
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly


def build(parts: Parts, *, workers: int = 5) -> Controller:
    """The controller, wired to the informers of Services, pods and Endpoints."""
    queue: WorkQueue[Request] = WorkQueue("endpoints", parts.clock)
    services, pods, endpoints = (parts.factory.informer(gvr) for gvr in (SERVICES, PODS, ENDPOINTS))
    members = Members(services, pods, queue.add_after)
    reconciler = EndpointsReconciler(parts, services, members, endpoints)
    endpoints.add_handler(lambda type, obj, old: queue.add_after(Request.of(obj), members.patience(Request.of(obj))))
    return Controller("endpoints", reconciler, queue, workers=workers, sources=(services, pods, endpoints))


class EndpointsReconciler:
    def __init__(self, parts: Parts, services: Informer, members: Members, endpoints: Informer) -> None:
        self._client = parts.client
        self._services = services
        self._members = members
        self._endpoints = endpoints
        self._recorder = parts.recorder

    async def reconcile(self, request: Request) -> Result | None:
        before = self._endpoints.get(request.name, request.namespace)
        service = self._services.get(request.name, request.namespace)
        if service is None:
            # Only what we made: a user's own Endpoints live without a Service.
            if before is not None and (before["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER:
                await delete_exactly(self._client, ENDPOINTS, before)
            return None
        if not has_endpoints(service) or "deletionTimestamp" in service["metadata"]:
            return None
        after = desired(service, self._members.of(service), before)
        if before is None:
            await self._create(service, after)
        elif after != before:
            await self._client.update(ENDPOINTS, after)
        return None

    async def _create(self, service: Obj, endpoints: Obj) -> None:
        try:
            await self._client.create(ENDPOINTS, endpoints)
        except StatusError as error:
            if is_already_exists(error):
                raise  # the informer lags: again, with back-off
            if error.code != 403:  # the namespace is ending
                name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
                text = f"Failed to create endpoint for service {name}: {error.message}"
                self._recorder.event(service, "Warning", "FailedToCreateEndpoint", text)
            raise
