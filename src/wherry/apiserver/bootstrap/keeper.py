"""Keeps, while the server runs, what no cluster may be without: what is deleted comes back, what is bent is straightened.

Is: namespaces, the Service `kubernetes` and where it leads, flow control, whom extension API servers trust. Is not: roles and
priority classes, which Kubernetes too looks after only when a server starts (`ensure.py`), nor what controllers keep
(kube-root-ca.crt, accounts). kube-apiserver looks every ten seconds or every minute; we are told, and idle costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.aio.clock import Clock
from wherry.api.errors import StatusError, is_already_exists, is_not_found
from wherry.api.scheme import Scheme
from wherry.api.types import GVR, Obj
from wherry.apiserver.bootstrap.repairs import is_left_over, repaired
from wherry.client.informer import Informer, InformerFactory
from wherry.client.rest import Client
from wherry.reconcile.controller import Controller
from wherry.reconcile.reconciler import Request
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly


def build(client: Client, factory: InformerFactory, clock: Clock, scheme: Scheme, kept: Iterable[Obj]) -> Controller:
    """The controller; its keys are (kind, namespace/name)."""
    queue: WorkQueue[Request] = WorkQueue("bootstrap", clock)
    wanted = {_key(obj): obj for obj in kept}
    informers: dict[str, tuple[GVR, Informer]] = {}
    for obj in wanted.values():
        resource = scheme.by_kind(obj["apiVersion"], obj["kind"])
        assert resource is not None, "bootstrap_objects leaves out what is not served"
        if obj["kind"] not in informers:
            informers[obj["kind"]] = (resource.gvr, factory.informer(resource.gvr))

    def on_change(change: str, obj: Obj, old: Obj | None) -> None:
        key = _key(obj)
        if key in wanted or is_left_over(obj):
            queue.add(key)

    for _, informer in informers.values():
        informer.add_handler(on_change)
    for key in wanted:  # of what is not there nobody tells
        queue.add(key)
    keeper = Keeper(client, informers, wanted)
    return Controller("bootstrap", keeper, queue, workers=1, sources=[each for _, each in informers.values()])


class Keeper:
    """The reconciler."""

    def __init__(self, client: Client, informers: dict[str, tuple[GVR, Informer]], wanted: dict[Request, Obj]) -> None:
        self._client = client
        self._informers = informers
        self._wanted = wanted

    async def reconcile(self, request: Request) -> None:
        kind, (namespace, _, name) = request.namespace, request.name.rpartition("/")
        gvr, informer = self._informers[kind]
        wanted, present = self._wanted.get(request), informer.get(name, namespace)
        if present is None:
            if wanted is not None:
                await self._create(gvr, wanted)
        elif wanted is None:
            if is_left_over(present):
                await delete_exactly(self._client, gvr, present)
        elif (better := repaired(present, wanted)) is not None:
            try:
                await self._client.update(gvr, better)
            except StatusError as error:
                if not is_not_found(error):  # its end brings the key back
                    raise

    async def _create(self, gvr: GVR, wanted: Obj) -> None:
        try:
            await self._client.create(gvr, wanted, wanted["metadata"].get("namespace"))
        except StatusError as error:
            if not is_already_exists(error):
                raise


def _key(obj: Obj) -> Request:
    metadata = obj["metadata"]
    return Request(obj["kind"], f"{metadata.get('namespace', '')}/{metadata['name']}")
