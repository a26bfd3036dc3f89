"""The life of a ReplicaSet or ReplicationController: claim its pods, create or delete what is missing or too much, write
its status.

Counts only what its informer shows, and therefore waits, by expectations, until what it asked for last time is visible.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.resources import PODS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.controllers.replicaset import plan as planning
from wherry.controllers.replicaset.kinds import REPLICA_SET, REPLICATION_CONTROLLER, Replicated
from wherry.reconcile import pods as podlib
from wherry.reconcile.controller import Controller
from wherry.reconcile.expectations import EXPECTATION_SECONDS_MAX
from wherry.reconcile.ownership import (
    OWNER_INDEX,
    adopters,
    claim_children,
    controller_of,
    controller_ref,
    controller_uid,
    index_by_owner,
    owner_in,
)
from wherry.reconcile.parts import Parts
from wherry.reconcile.pod_control import PodControl, namespace_is_ending
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import write_status_if_there


def build(parts: Parts, *, workers: int = 5) -> Controller:
    """The controller of ReplicaSets."""
    return _build(parts, REPLICA_SET, workers)


def build_replication_controller(parts: Parts, *, workers: int = 5) -> Controller:
    """The controller of ReplicationControllers."""
    return _build(parts, REPLICATION_CONTROLLER, workers)


def _build(parts: Parts, kind: Replicated, workers: int) -> Controller:
    """Wired to the informers of that kind and of pods."""
    name = kind.kind.lower()
    queue: WorkQueue[Request] = WorkQueue(name, parts.clock)
    sets, pods = parts.factory.informer(kind.gvr), parts.factory.informer(PODS)
    index_by_owner(sets)
    index_by_owner(pods)
    reconciler = ReplicaSetReconciler(parts, kind, sets, pods, queue)
    sets.add_handler(reconciler.on_replicaset)
    pods.add_handler(reconciler.on_pod)
    return Controller(name, reconciler, queue, workers=workers, sources=(sets, pods))


class ReplicaSetReconciler:
    """`on_*` turn watch events into keys and fulfilled expectations; `reconcile` does the rest."""

    def __init__(
        self, parts: Parts, kind: Replicated, sets: Informer, pods: Informer, queue: WorkQueue[Request]
    ) -> None:
        self._client = parts.client
        self._kind = kind
        self._sets = sets
        self._pods = pods
        self._clock = parts.clock
        self._queue = queue
        self._control = PodControl(parts)

    def on_replicaset(self, type: str, obj: Obj, old: Obj | None) -> None:
        if type == "deleted":
            self._control.expectations.forget(obj["metadata"]["uid"])
        # What we wrote into its status ourselves is no reason to look at all its pods again at once.
        same = old is not None and old["metadata"].get("generation") == obj["metadata"].get("generation")
        self._queue.add_after(Request.of(obj), planning.patience(obj) if same else 0.0)

    def on_pod(self, type: str, pod: Obj, old: Obj | None) -> None:
        owner = owner_in(self._sets, self._kind.kind, pod)
        if old is not None and controller_uid(old) != controller_uid(pod):
            before = owner_in(self._sets, self._kind.kind, old)
            if before is not None:
                self._queue.add(Request.of(before))
        if owner is not None:
            self._control.observe(owner["metadata"]["uid"], type, pod)
            self._queue.add_after(Request.of(owner), planning.patience(owner))
        elif controller_of(pod) is None and type != "deleted":
            for candidate in adopters(map(self._kind.view, self._sets.list(pod["metadata"]["namespace"])), pod):
                self._queue.add(Request.of(candidate))

    async def reconcile(self, request: Request) -> Result | None:
        stored = self._sets.get(request.name, request.namespace)
        if stored is None:
            return None
        replicaset = self._kind.view(stored)
        may_act = self._control.expectations.satisfied(replicaset["metadata"]["uid"])
        # A finished or dying pod is kept if it is ours, but not worth adopting.
        owned = await claim_children(
            self._client, self._kind.gvr, replicaset, PODS, self._pods, adoptable=podlib.is_active
        )
        active = [pod for pod in owned if podlib.is_active(pod)]
        terminating = sum(podlib.is_terminating(pod) and not podlib.is_finished(pod) for pod in owned)
        failure: Exception | None = None
        reason = ""
        if may_act:
            plan = planning.plan(replicaset, active, self._related(replicaset), self._clock.time())
            if plan.create:
                reason, failure = "FailedCreate", await self._create(replicaset, plan.create)
            elif plan.delete:
                reason, failure = "FailedDelete", await self._control.delete(replicaset, plan.delete)
        failed = (reason, str(failure)) if failure is not None else None
        status, next_change = planning.status(replicaset, active, terminating, failed, self._clock.time())
        if not self._kind.tells_terminating:
            del status["terminatingReplicas"]
        await write_status_if_there(self._client, self._kind.gvr, stored, status)
        if failure is not None:
            raise failure
        if not may_act:
            return Result(requeue_after=EXPECTATION_SECONDS_MAX)
        return Result(requeue_after=next_change)

    def _related(self, replicaset: Obj) -> list[Obj]:
        """Pods of all ReplicaSets with the same owner: they share the nodes."""
        owner = controller_uid(replicaset)
        siblings: Iterable[Obj] = self._sets.by_index(OWNER_INDEX, owner) if owner else (replicaset,)
        return [pod for one in siblings for pod in self._pods.by_index(OWNER_INDEX, one["metadata"]["uid"])]

    async def _create(self, replicaset: Obj, count: int) -> Exception | None:
        metadata = replicaset["metadata"]
        pod = podlib.pod_from_template(
            replicaset["spec"]["template"],
            owner_ref=controller_ref(replicaset),
            namespace=metadata["namespace"],
            generate_name=f"{metadata['name']}-",
        )
        _, failure = await self._control.create(replicaset, [pod] * count)
        return None if failure is not None and namespace_is_ending(failure) else failure
