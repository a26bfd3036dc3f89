"""Deletes everything in a namespace that has a deletionTimestamp, pods before all else, then takes its finalizer away.

Pods go first (as from Kubernetes 1.34) so that nothing they rely on, a NetworkPolicy or a Secret, goes before them.
What takes time to go is noticed by informers where it is pods, by back-off where it is something with a finalizer.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.api.errors import StatusError, is_conflict, is_not_found
from wherry.api.resources import NAMESPACES, PODS
from wherry.api.scheme import Resource
from wherry.api.types import GVR, Obj
from wherry.client.informer import Informer
from wherry.controllers.namespace.conditions import Remaining, status
from wherry.reconcile.controller import Controller
from wherry.reconcile.gathering import seconds_for
from wherry.reconcile.kinds import Kinds, storable
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import change, write_status

FINALIZER = "kubernetes"
LOOK_AGAIN_SECONDS = 0.25
"""The first pause when something other than pods has to finish; the queue doubles it up to LOOK_AGAIN_SECONDS_MAX."""
LOOK_AGAIN_SECONDS_MAX = 15.0


def build(parts: Parts, *, scheme: Kinds, workers: int = 5) -> Controller:
    """The controller; `scheme` says which resources a namespace can hold at the moment."""
    queue: WorkQueue[Request] = WorkQueue(
        "namespace", parts.clock, backoff_seconds_min=LOOK_AGAIN_SECONDS, backoff_seconds_max=LOOK_AGAIN_SECONDS_MAX
    )
    namespaces, pods = parts.factory.informer(NAMESPACES), parts.factory.informer(PODS)
    reconciler = NamespaceReconciler(parts, namespaces, pods, scheme, queue)
    namespaces.add_handler(reconciler.on_namespace)
    pods.add_handler(reconciler.on_pod)
    return Controller("namespace", reconciler, queue, workers=workers, sources=(namespaces, pods))


class NamespaceReconciler:
    def __init__(
        self, parts: Parts, namespaces: Informer, pods: Informer, kinds: Kinds, queue: WorkQueue[Request]
    ) -> None:
        self._client = parts.client
        self._namespaces = namespaces
        self._pods = pods
        self._kinds = kinds
        self._clock = parts.clock
        self._queue = queue

    def on_namespace(self, type: str, namespace: Obj, old: Obj | None) -> None:
        if type != "deleted" and "deletionTimestamp" in namespace["metadata"]:
            self._queue.add(Request.of(namespace))

    def on_pod(self, type: str, pod: Obj, old: Obj | None) -> None:
        if type != "deleted":
            return
        namespace = self._namespaces.get(pod["metadata"]["namespace"])
        if namespace is not None and "deletionTimestamp" in namespace["metadata"]:
            left = self._pods.count(pod["metadata"]["namespace"])
            self._queue.add_after(Request.of(namespace), seconds_for(left))

    async def reconcile(self, request: Request) -> Result | None:
        namespace = self._namespaces.get(request.name)
        if namespace is None or "deletionTimestamp" not in namespace["metadata"]:
            return None
        if FINALIZER not in (namespace["spec"].get("finalizers") or ()):
            return None
        remaining = await self._empty(request.name)
        try:
            if remaining:
                await write_status(
                    self._client, NAMESPACES, namespace, status(namespace, remaining, self._clock.time())
                )
                return Result(retry=True)
            # Straight to the end: a status nobody can read any more is a write for nothing.
            await change(self._client, NAMESPACES, namespace, _without_finalizer, subresource="finalize")
        except StatusError as error:
            if not is_not_found(error):
                raise
        return None

    async def _empty(self, name: str) -> Remaining:
        remaining = Remaining()
        resources = [one for one in storable(self._kinds, "list", "delete") if one.namespaced]
        pods = [one for one in resources if one.gvr == PODS]
        for one in pods:
            await self._delete_all(one, name, remaining)
        if remaining:
            return remaining
        for one in resources:
            if one.gvr != PODS:
                await self._delete_all(one, name, remaining)
        return remaining

    async def _delete_all(self, resource: Resource, namespace: str, remaining: Remaining) -> None:
        gvr = resource.gvr
        label = f"{resource.resource}.{resource.group}"
        try:
            items = (await self._client.list(gvr, namespace))["items"]
            if not items:
                return
            # What is on its way needs no second word; thousands of pods take their time.
            if any("deletionTimestamp" not in item["metadata"] for item in items):
                if "deletecollection" in resource.verbs:
                    await self._client.delete_collection(gvr, namespace)
                else:
                    await self._delete_each(gvr, namespace, items)
                items = (await self._client.list(gvr, namespace))["items"]
        except StatusError as error:
            if error.code not in (404, 405):
                remaining.failures.append(f"{label}: {error.message}")
            return
        if items:
            remaining.resources[label] = len(items)
        for item in items:
            for finalizer in item["metadata"].get("finalizers") or ():
                remaining.finalizers[finalizer] = remaining.finalizers.get(finalizer, 0) + 1

    async def _delete_each(self, gvr: GVR, namespace: str, items: Sequence[Obj]) -> None:
        for item in items:
            try:
                await self._client.delete(gvr, item["metadata"]["name"], namespace, propagation="Background")
            except StatusError as error:
                if not is_not_found(error) and not is_conflict(error):
                    raise


def _without_finalizer(namespace: Obj) -> Obj | None:
    finalizers = [one for one in namespace["spec"].get("finalizers") or () if one != FINALIZER]
    if "deletionTimestamp" not in namespace["metadata"]:
        return None
    return {**namespace, "spec": {**namespace["spec"], "finalizers": finalizers}}
