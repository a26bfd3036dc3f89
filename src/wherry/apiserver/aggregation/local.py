"""An APIService for each group and version of custom resources: kept by us, like those of the built-in groups at the start.

Labelled `automanaged: true`; who takes the label away keeps the object. Source: kube-aggregator's autoregistration.
"""

from __future__ import annotations

from wherry.aio.clock import Clock
from wherry.api.errors import StatusError, is_already_exists, is_not_found
from wherry.api.resources import API_SERVICES
from wherry.api.types import Obj
from wherry.apiserver.serving import CUSTOM_GROUP_PRIORITY, CUSTOM_VERSION_PRIORITY, Serving
from wherry.client.informer import Informer, InformerFactory
from wherry.client.rest import Client
from wherry.reconcile.controller import Controller
from wherry.reconcile.reconciler import Request
from wherry.reconcile.workqueue import WorkQueue

LABEL = "kube-aggregator.kubernetes.io/automanaged"
_OWNER = "customresourcedefinitions/"


class LocalAPIServices:
    """The reconciler; one key per group and version, the APIService's name."""

    def __init__(self, serving: Serving, client: Client, factory: InformerFactory) -> None:
        self._serving = serving
        self._client = client
        self.api_services: Informer = factory.informer(API_SERVICES)

    async def reconcile(self, request: Request) -> None:
        wanted = self.wanted().get(request.name)
        found = self.api_services.get(request.name)
        if wanted is not None and found is None:
            try:
                await self._client.create(API_SERVICES, wanted)
            except StatusError as error:
                if not is_already_exists(error):
                    raise
        elif wanted is None and found is not None and is_ours(found):
            try:
                await self._client.delete(API_SERVICES, request.name)
            except StatusError as error:
                if not is_not_found(error):
                    raise

    def wanted(self) -> dict[str, Obj]:
        """By name."""
        return {
            f"{version}.{group}": local(group, version)
            for owner, what in self._serving.published.items()
            if owner.startswith(_OWNER)
            for group, version in what.versions()
        }


def build(serving: Serving, client: Client, factory: InformerFactory, clock: Clock) -> Controller:
    queue: WorkQueue[Request] = WorkQueue("autoregister", clock)
    reconciler = LocalAPIServices(serving, client, factory)

    def served_changed() -> None:
        names = {obj["metadata"]["name"] for obj in reconciler.api_services.list() if is_ours(obj)}
        for name in names ^ reconciler.wanted().keys():
            queue.add(Request("", name))

    serving.on_change(served_changed)
    reconciler.api_services.add_handler(
        lambda change, obj, _: queue.add(Request.of(obj)) if is_ours(obj) or change == "deleted" else None
    )
    served_changed()
    return Controller("autoregister", reconciler, queue, workers=1, sources=(reconciler.api_services,))


def is_ours(obj: Obj) -> bool:
    return bool((obj["metadata"].get("labels") or {}).get(LABEL) == "true")


def local(group: str, version: str) -> Obj:
    spec = {
        "group": group,
        "version": version,
        "groupPriorityMinimum": CUSTOM_GROUP_PRIORITY,
        "versionPriority": CUSTOM_VERSION_PRIORITY,
    }
    metadata = {"name": f"{version}.{group}", "labels": {LABEL: "true"}}
    return {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": metadata, "spec": spec}
