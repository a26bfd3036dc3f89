"""The life of a ReplicaSet or ReplicationController: claim its pods, create or delete what is missing or too much, write
its status.

Counts only what its informer shows, and therefore waits, by expectations, until what it asked for last time is visible.
The counts are kept by the informer's events (`tally`): no look reads all pods, but one that has to choose whom to delete.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wherry.api.errors import namespace_is_ending
from wherry.api.resources import PODS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.controllers.replicaset import plan as planning
from wherry.controllers.replicaset.kinds import REPLICA_SET, REPLICATION_CONTROLLER, Replicated
from wherry.controllers.replicaset.tally import Facts, Tally
from wherry.reconcile import pods as podlib
from wherry.reconcile.controller import Controller
from wherry.reconcile.expectations import EXPECTATION_SECONDS_MAX
from wherry.reconcile.ownership import (
    OWNER_INDEX,
    adopters,
    claim,
    controller_of,
    controller_ref,
    controller_uid,
    index_by_owner,
    orphans,
    owner_in,
    perform_claims,
)
from wherry.reconcile.parts import Parts
from wherry.reconcile.pod_control import PodControl
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
        self._tallies: dict[str, Tally] = {}
        """By uid; made at the first look."""

    def on_replicaset(self, type: str, obj: Obj, old: Obj | None) -> None:
        if type == "deleted":
            self._control.expectations.forget(obj["metadata"]["uid"])
            self._tallies.pop(obj["metadata"]["uid"], None)
        # What we wrote into its status ourselves is no reason to write the next at once.
        same = old is not None and old["metadata"].get("generation") == obj["metadata"].get("generation")
        self._queue.add_after(Request.of(obj), planning.patience(obj) if same else 0.0)

    def on_pod(self, type: str, pod: Obj, old: Obj | None) -> None:
        owner = owner_in(self._sets, self._kind.kind, pod)
        if old is not None and controller_uid(old) != controller_uid(pod):
            before = owner_in(self._sets, self._kind.kind, old)
            if before is not None:
                self._tell(before, "deleted", old)
        if owner is not None:
            if old is not None and old["metadata"]["uid"] != pod["metadata"]["uid"]:
                self._tell(owner, "deleted", old)
            self._tell(owner, type, pod)
        elif controller_of(pod) is None and type != "deleted":
            for candidate in adopters(map(self._kind.view, self._sets.list(pod["metadata"]["namespace"])), pod):
                self._queue.add(Request.of(candidate))

    def _tell(self, owner: Obj, type: str, pod: Obj) -> None:
        """Count the pod, and look at its owner: at once if that was waiting for this very change."""
        uid = owner["metadata"]["uid"]
        tally = self._tallies.get(uid)
        if tally is not None:
            if type == "deleted":
                tally.remove(pod["metadata"]["uid"])
            else:
                tally.put(pod)
        waited = not self._control.expectations.satisfied(uid)
        self._control.observe(uid, type, pod)
        arrived = waited and self._control.expectations.satisfied(uid)
        self._queue.add_after(Request.of(owner), 0.0 if arrived else planning.patience(owner))

    async def reconcile(self, request: Request) -> Result | None:
        stored = self._sets.get(request.name, request.namespace)
        if stored is None:
            return None
        replicaset = self._kind.view(stored)
        may_act = self._control.expectations.satisfied(replicaset["metadata"]["uid"])
        tally = self._tally(replicaset)
        adopted = await self._claim(replicaset, tally)
        failure: Exception | None = None
        reason = ""
        if may_act:
            plan = planning.plan(replicaset, tally.counts(self._clock.time()).active)
            if plan.create:
                reason, failure = "FailedCreate", await self._create(replicaset, plan.create)
            elif plan.delete:
                reason, failure = "FailedDelete", await self._delete(replicaset, tally, adopted, plan.delete)
        failed = (reason, str(failure)) if failure is not None else None
        counts = tally.counts(self._clock.time())
        status = planning.status(replicaset, counts, failed, self._clock.time())
        if not self._kind.tells_terminating:
            del status["terminatingReplicas"]
        await write_status_if_there(self._client, self._kind.gvr, stored, status)
        if failure is not None:
            raise failure
        if not may_act:
            return Result(requeue_after=EXPECTATION_SECONDS_MAX)
        return Result(requeue_after=counts.next_change)

    def _tally(self, replicaset: Obj) -> Tally:
        """Of its pods as they are now; kept up to date by `on_pod` from the first look on."""
        uid, facts = replicaset["metadata"]["uid"], Facts.of(replicaset)
        tally = self._tallies.get(uid)
        if tally is None or tally.facts != facts:
            tally = self._tallies[uid] = Tally(facts)
            for pod in self._pods.by_index(OWNER_INDEX, uid):
                tally.put(pod)
        return tally

    async def _claim(self, replicaset: Obj, tally: Tally) -> list[Obj]:
        """Release, and adopt: those are answered. A finished or dying pod is kept if it is ours, but not worth adopting."""
        candidates = orphans(self._pods, replicaset)
        if tally.strays:
            owned = self._pods.by_index(OWNER_INDEX, replicaset["metadata"]["uid"])
            candidates += [pod for pod in owned if pod["metadata"]["uid"] in tally.strays]
        if not candidates:
            return []
        claims = claim(replicaset, tally.facts.selector, candidates)
        claims.owned.clear()
        claims.adopt[:] = [pod for pod in claims.adopt if podlib.is_active(pod)]
        adopted = await perform_claims(self._client, self._kind.gvr, replicaset, PODS, claims)
        for pod in adopted:
            tally.put(pod)  # before the informer shows it, else somebody else would be made in its place
        return adopted

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

    async def _delete(self, replicaset: Obj, tally: Tally, adopted: Sequence[Obj], count: int) -> Exception | None:
        """`adopted` just now: the informer need not show them yet."""
        owned = {pod["metadata"]["uid"]: pod for pod in adopted}
        owned |= {
            pod["metadata"]["uid"]: pod for pod in self._pods.by_index(OWNER_INDEX, replicaset["metadata"]["uid"])
        }
        active = [pod for uid, pod in owned.items() if podlib.is_active(pod) and uid not in tally.strays]
        going = planning.victims(replicaset, active, self._related(replicaset), count, self._clock.time())
        return await self._control.delete(replicaset, going)
