"""Every namespace has a ConfigMap `kube-root-ca.crt` with the certificate by which pods recognise the API server."""

from __future__ import annotations

from wherry.api.errors import StatusError, is_already_exists
from wherry.api.resources import CONFIG_MAPS, NAMESPACES
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.client.rest import Client
from wherry.reconcile.controller import Controller
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue

NAME = "kube-root-ca.crt"
DESCRIPTION = {
    "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across "
    "distributions of Kubernetes clusters."
}


def build(parts: Parts, *, certificate: str, workers: int = 5) -> Controller:
    """The controller; `certificate` is the bundle in PEM. Its keys are namespaces."""
    queue: WorkQueue[Request] = WorkQueue("root-ca", parts.clock)
    namespaces, maps = parts.factory.informer(NAMESPACES), parts.factory.informer(CONFIG_MAPS)
    namespaces.add_handler(lambda type, obj, old: queue.add(Request.of(obj)))

    def on_map(type: str, one: Obj, old: Obj | None) -> None:
        if one["metadata"]["name"] == NAME:
            queue.add(Request("", one["metadata"]["namespace"]))

    maps.add_handler(on_map)
    reconciler = RootCaReconciler(parts.client, namespaces, maps, {"ca.crt": certificate})
    return Controller("root-ca", reconciler, queue, workers=workers, sources=(namespaces, maps))


class RootCaReconciler:
    def __init__(self, client: Client, namespaces: Informer, maps: Informer, data: dict[str, str]) -> None:
        self._client = client
        self._namespaces = namespaces
        self._maps = maps
        self._data = data

    async def reconcile(self, request: Request) -> Result | None:
        namespace = self._namespaces.get(request.name)
        if namespace is None or "deletionTimestamp" in namespace["metadata"]:
            return None
        there = self._maps.get(NAME, request.name)
        if there is not None and there.get("data") == self._data:
            return None
        if there is not None:
            await self._client.update(CONFIG_MAPS, {**there, "data": self._data})
            return None
        metadata = {"name": NAME, "namespace": request.name, "annotations": DESCRIPTION}
        try:
            await self._client.create(
                CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": self._data}
            )
        except StatusError as error:
            if not is_already_exists(error):
                raise
        return None
