"""Looks at objects by uid and carries out the plan, through the API, never on the word of an informer alone:
an owner the graph does not know is asked for before anything is deleted, and a deletion names the version it was
decided on.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence

from wherry.api.errors import StatusError, is_conflict, is_not_found
from wherry.api.scheme import Resource
from wherry.api.types import GVR, Obj
from wherry.client.informer import Informer
from wherry.client.rest import Propagation
from wherry.controllers.garbage_collector.graph import Graph, Node
from wherry.controllers.garbage_collector.plan import OwnerState, Plan, plan
from wherry.reconcile.batches import all_of
from wherry.reconcile.controller import Controller
from wherry.reconcile.kinds import Kinds, storable
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue

log = logging.getLogger(__name__)

IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})
"""As in Kubernetes: many, short-lived, and nobody's property."""


ABSENT_REMEMBERED = 500
"""Owners seen to go, as many as Kubernetes remembers: their kind may be gone as well when a dependent is looked at."""


def build(parts: Parts, *, scheme: Kinds, workers: int = 20) -> Controller:
    """The controller, wired to an informer of every resource that can be listed, watched and deleted."""
    queue: WorkQueue[Request] = WorkQueue("garbage-collector", parts.clock)
    reconciler = GarbageCollector(parts, queue, scheme)
    return Controller("garbage-collector", reconciler, queue, workers=workers, sources=reconciler.follow())


class GarbageCollector:
    """Keys are uids: `Request("", uid)`."""

    def __init__(self, parts: Parts, queue: WorkQueue[Request], kinds: Kinds) -> None:
        self._client = parts.client
        self._factory = parts.factory
        self._recorder = parts.recorder
        self._queue = queue
        self._graph = Graph()
        self._served = kinds
        self._kinds: dict[tuple[str, str], Resource] = {}
        self._absent: OrderedDict[str, None] = OrderedDict()

    def follow(self) -> list[Informer]:
        """Watch everything served now and, from now on, whatever comes; the informers of now."""
        self._served.on_change(self._kinds_changed)
        return self._adapt()

    def _kinds_changed(self) -> None:
        self._adapt()

    def _adapt(self) -> list[Informer]:
        """An informer for each resource that is new, none for those that are gone."""
        resources = storable(self._served, "list", "watch", "delete")
        wanted = [one for one in resources if (one.group, one.resource) not in IGNORED]
        before = {one.gvr for one in self._kinds.values()}
        self._kinds = {(one.group, one.kind): one for one in wanted}
        for gvr in before - {one.gvr for one in wanted}:
            self._factory.drop(gvr)
            self._graph.forget(gvr)
        made = []
        for one in wanted:
            if one.gvr not in before:
                informer = self._factory.informer(one.gvr)
                informer.add_handler(self.handler(one.gvr))
                made.append(informer)
        return made

    def handler(self, gvr: GVR) -> Handler:
        return Handler(self, gvr)

    def changed(self, gvr: GVR, type: str, obj: Obj, old: Obj | None) -> None:
        if old is not None and old["metadata"]["uid"] != obj["metadata"]["uid"]:
            self._look_at(self._graph.remove(old["metadata"]["uid"]))
        if type == "deleted":
            self._absent[obj["metadata"]["uid"]] = None
            if len(self._absent) > ABSENT_REMEMBERED:
                self._absent.popitem(last=False)
            self._look_at(self._graph.remove(obj["metadata"]["uid"]))
        else:
            self._look_at(self._graph.put(Node.of(gvr, obj)))

    def _look_at(self, uids: set[str]) -> None:
        for uid in sorted(uids):
            self._queue.add(Request("", uid))

    async def reconcile(self, request: Request) -> Result | None:
        node = self._graph.get(request.name)
        if node is None:
            return None
        owners: dict[str, OwnerState] = {}
        if not node.deleting:
            for ref in node.owners:
                owners[ref["uid"]] = await self._state(ref, node)
        todo = plan(node, self._graph, owners)
        try:
            await self._perform(node, todo)
        except StatusError as error:
            if is_not_found(error):
                return None  # its deletion is on its way to us
            raise
        self._look_at(set(todo.look_at))
        return None

    async def _state(self, ref: Obj, node: Node) -> OwnerState:
        known = self._graph.get(ref["uid"])
        if known is not None and known.namespace in ("", node.namespace):
            return "waiting" if known.in_foreground else "solid"
        if ref["uid"] in self._absent:
            return "absent"
        group, _, _ = ref["apiVersion"].rpartition("/")
        resource = self._kinds.get((group, ref["kind"]))
        if resource is None:
            # A kind we do not serve (yet) may be served later: never delete on such a ground.
            log.warning("%s %s: its owner is of unknown kind %s %s", node.gvr.qualified, node.name, group, ref["kind"])
            return "solid"
        if resource.namespaced and not node.namespace:
            self._recorder.event(
                _reference(node, self._kinds),
                "Warning",
                "OwnerRefInvalidNamespace",
                f"ownerRef [{ref['apiVersion']}/{ref['kind']}, namespace: , name: {ref['name']}, uid: {ref['uid']}] "
                'does not exist in namespace ""',
            )
            return "solid"
        try:
            live = await self._client.get(resource.gvr, ref["name"], node.namespace if resource.namespaced else None)
        except StatusError as error:
            if is_not_found(error):
                return "absent"
            raise
        if live["metadata"]["uid"] != ref["uid"]:
            return "absent"
        return "waiting" if Node.of(resource.gvr, live).in_foreground else "solid"

    async def _perform(self, node: Node, todo: Plan) -> None:
        if todo.release:
            failures = await all_of(todo.release, lambda one: self._release(one, (node.uid,)))
            if failures:
                raise failures[0]
        if todo.drop_finalizer:
            await self._drop_finalizer(node, todo.drop_finalizer)
        if todo.drop_owners:
            await self._release(node, todo.drop_owners)
        if todo.unblock:
            await self._unblock(node)
        if todo.delete:
            await self._delete(node, todo)

    async def _delete(self, node: Node, todo: Plan) -> None:
        propagation: Propagation = (
            "Foreground" if todo.delete == "Foreground" else "Orphan" if todo.delete == "Orphan" else "Background"
        )
        # Without the version, an object adopted by somebody a moment ago would be deleted under its new owner.
        version = None if todo.unblock else node.resource_version
        try:
            await self._client.delete(
                node.gvr,
                node.name,
                node.namespace or None,
                uid=node.uid,
                resource_version=version,
                propagation=propagation,
            )
        except StatusError as error:
            if not is_conflict(error):
                raise
            # It changed or was replaced: look again at what it is now.
            live = await self._client.get(node.gvr, node.name, node.namespace or None)
            if live["metadata"]["uid"] == node.uid:
                raise

    async def _release(self, node: Node, owners: Sequence[str]) -> None:
        gone = [{"$patch": "delete", "uid": uid} for uid in owners]
        await self._patch(node, gone, [ref for ref in node.owners if ref["uid"] not in owners])

    async def _unblock(self, node: Node) -> None:
        refs = [{**ref, "blockOwnerDeletion": False} for ref in node.owners if ref.get("blockOwnerDeletion")]
        await self._patch(node, refs, [{**ref, "blockOwnerDeletion": False} for ref in node.owners])

    async def _patch(self, node: Node, changes: Sequence[Obj], whole: Sequence[Obj]) -> None:
        """Change its references; `whole` is all of them after that, for custom resources, which cannot merge lists."""
        namespace = node.namespace or None
        patch: Obj = {"metadata": {"uid": node.uid, "ownerReferences": changes}}
        try:
            try:
                await self._client.patch(node.gvr, node.name, patch, namespace, type="strategic")
            except StatusError as error:
                if error.code != 415:
                    raise
                metadata = {"uid": node.uid, "resourceVersion": node.resource_version, "ownerReferences": list(whole)}
                await self._client.patch(node.gvr, node.name, {"metadata": metadata}, namespace)
        except StatusError as error:
            if not is_not_found(error):
                raise

    async def _drop_finalizer(self, node: Node, finalizer: str) -> None:
        """A merge patch with the version it is based on: finalizers are a plain list."""
        live = await self._client.get(node.gvr, node.name, node.namespace or None)
        metadata = live["metadata"]
        if metadata["uid"] != node.uid or finalizer not in (metadata.get("finalizers") or ()):
            return
        kept = [one for one in metadata["finalizers"] if one != finalizer]
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": kept}}
        await self._client.patch(node.gvr, node.name, patch, node.namespace or None)


class Handler:
    """Handlers are told what changed, not of which resource: this one knows."""

    def __init__(self, collector: GarbageCollector, gvr: GVR) -> None:
        self._collector = collector
        self._gvr = gvr

    def __call__(self, type: str, obj: Obj, old: Obj | None) -> None:
        self._collector.changed(self._gvr, type, obj, old)


def _reference(node: Node, kinds: dict[tuple[str, str], Resource]) -> Obj:
    kind = next((one.kind for one in kinds.values() if one.gvr == node.gvr), "")
    metadata = {"name": node.name, "namespace": node.namespace, "uid": node.uid}
    return {"apiVersion": node.gvr.api_version, "kind": kind, "metadata": metadata}
