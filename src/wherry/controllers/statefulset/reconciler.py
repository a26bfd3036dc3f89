"""Performs a StatefulSet's plan. Names are fixed, so a plan made on an outdated view cannot make a second pod:
the name is taken, or the uid to delete is another.
"""

from __future__ import annotations

from wherry.api.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from wherry.api.types import Obj
from wherry.controllers.statefulset import pods as members
from wherry.controllers.statefulset.control import StatefulPodControl
from wherry.controllers.statefulset.plan import Create, Plan, plan
from wherry.controllers.statefulset.status import status
from wherry.reconcile import revisions as histories
from wherry.reconcile.batches import all_of
from wherry.reconcile.controller import Controller
from wherry.reconcile.gathering import seconds_for
from wherry.reconcile.ownership import claim_children, concerned, index_by_owner
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly, write_status_if_there

HASH_LABEL = "controller.kubernetes.io/hash"


def build(parts: Parts, *, workers: int = 5) -> Controller:
    """The controller, wired to the informers of StatefulSets, pods, claims and ControllerRevisions."""
    queue: WorkQueue[Request] = WorkQueue("statefulset", parts.clock)
    reconciler = StatefulSetReconciler(parts, queue)
    return Controller("statefulset", reconciler, queue, workers=workers, sources=reconciler.sources)


class StatefulSetReconciler:
    """`on_*` turn watch events into keys; `reconcile` does the rest."""

    def __init__(self, parts: Parts, queue: WorkQueue[Request]) -> None:
        gvrs = (STATEFUL_SETS, PODS, PERSISTENT_VOLUME_CLAIMS, CONTROLLER_REVISIONS)
        self.sources = tuple(parts.factory.informer(gvr) for gvr in gvrs)
        self._sets, self._pods, claims, self._revisions = self.sources
        index_by_owner(self._pods)
        index_by_owner(self._revisions)
        self._client = parts.client
        self._clock = parts.clock
        self._queue = queue
        self._control = StatefulPodControl(parts, claims)
        self._sets.add_handler(lambda type, obj, old: queue.add(Request.of(obj)))
        self._pods.add_handler(self.on_pod)
        claims.add_handler(self.on_claim)

    def on_pod(self, type: str, pod: Obj, old: Obj | None) -> None:
        for statefulset in concerned(self._sets, "StatefulSet", type, pod, old):
            # Where pods come one after the other, each waits for the look that follows the one before.
            parallel = statefulset["spec"].get("podManagementPolicy") == "Parallel"
            pause = seconds_for(statefulset.get("status", {}).get("replicas", 0)) if parallel else 0.0
            self._queue.add_after(Request.of(statefulset), pause)

    def on_claim(self, type: str, claim: Obj, old: Obj | None) -> None:
        """One that is gone may be what a pod waits for, or has to be made again."""
        if type == "deleted":
            for statefulset in self._sets.list(claim["metadata"]["namespace"]):
                if members.is_claim_of(statefulset, claim):
                    self._queue.add(Request.of(statefulset))

    async def reconcile(self, request: Request) -> Result | None:
        statefulset = self._sets.get(request.name, request.namespace)
        if statefulset is None:
            return None
        pods = await claim_children(
            self._client,
            STATEFUL_SETS,
            statefulset,
            PODS,
            self._pods,
            adoptable=lambda pod: members.ordinal_of(statefulset, pod) is not None,
        )
        revisions = await claim_children(
            self._client, STATEFUL_SETS, statefulset, CONTROLLER_REVISIONS, self._revisions
        )
        history = histories.look(statefulset, revisions, HASH_LABEL)
        update = await histories.store(self._client, STATEFUL_SETS, statefulset, history)
        current = history.current if history.current is not history.update else update
        names = current["metadata"]["name"], update["metadata"]["name"]
        todo = plan(statefulset, pods, names[1], self._clock.time())
        failure = await self._perform(statefulset, pods, todo, current, update)
        collisions = statefulset.get("status", {}).get("collisionCount", 0)
        new, next_change = status(statefulset, pods, *names, collisions, self._clock.time())
        await write_status_if_there(self._client, STATEFUL_SETS, statefulset, new)
        used = {(pod["metadata"].get("labels") or {}).get(members.REVISION, "") for pod in pods}
        for old in histories.to_forget(statefulset, revisions, used | {*names}):
            await delete_exactly(self._client, CONTROLLER_REVISIONS, old)
        if failure is not None:
            raise failure
        return Result(requeue_after=next_change)

    async def _perform(
        self, statefulset: Obj, pods: list[Obj], todo: Plan, current: Obj, update: Obj
    ) -> Exception | None:
        """The first failure; the status tells what was reached all the same."""
        condemned = {pod["metadata"]["uid"] for pod in todo.condemned}

        async def settle(pod: Obj) -> None:
            await self._control.settle(statefulset, pod, condemned=pod["metadata"]["uid"] in condemned)

        failures = await all_of(pods, settle)
        failures += await all_of(todo.delete, lambda pod: self._control.delete(statefulset, pod))

        async def create(one: Create) -> None:
            await self._control.create(statefulset, one.ordinal, update if one.updated else current)

        failures += await all_of(todo.create, create)
        return failures[0] if failures else None
