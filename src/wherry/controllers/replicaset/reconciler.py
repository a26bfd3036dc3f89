"""The life of a ReplicaSet: claim its pods, create or delete what is missing or too much, write its status.

Counts only what its informer shows, and therefore waits, by expectations, until what it asked for last time is visible.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.errors import StatusError, is_not_found
from wherry.api.labels import Selector
from wherry.api.resources import PODS, REPLICA_SETS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.controllers.replicaset import plan as planning
from wherry.reconcile import pods as podlib
from wherry.reconcile.batches import all_of, slow_start
from wherry.reconcile.controller import Controller
from wherry.reconcile.expectations import EXPECTATION_SECONDS_MAX, Expectations
from wherry.reconcile.ownership import (
    OWNER_INDEX,
    children,
    claim,
    controller_of,
    controller_ref,
    controller_uid,
    index_by_owner,
    perform_claims,
)
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly, write_status


def build(parts: Parts, *, workers: int = 5) -> Controller:
    """The controller, wired to the informers of ReplicaSets and pods."""
    queue: WorkQueue[Request] = WorkQueue("replicaset", parts.clock)
    sets, pods = parts.factory.informer(REPLICA_SETS), parts.factory.informer(PODS)
    index_by_owner(sets)
    index_by_owner(pods)
    reconciler = ReplicaSetReconciler(parts, sets, pods, queue)
    sets.add_handler(reconciler.on_replicaset)
    pods.add_handler(reconciler.on_pod)
    return Controller("replicaset", reconciler, queue, workers=workers, sources=(sets, pods))


class ReplicaSetReconciler:
    """`on_*` turn watch events into keys and fulfilled expectations; `reconcile` does the rest."""

    def __init__(self, parts: Parts, sets: Informer, pods: Informer, queue: WorkQueue[Request]) -> None:
        self._client = parts.client
        self._sets = sets
        self._pods = pods
        self._recorder = parts.recorder
        self._clock = parts.clock
        self._queue = queue
        self._expectations = Expectations(parts.clock)

    def on_replicaset(self, type: str, obj: Obj, old: Obj | None) -> None:
        if type == "deleted":
            self._expectations.forget(obj["metadata"]["uid"])
        self._queue.add(Request.of(obj))

    def on_pod(self, type: str, pod: Obj, old: Obj | None) -> None:
        owner = self._owner(pod)
        if old is not None and controller_uid(old) != controller_uid(pod):
            before = self._owner(old)
            if before is not None:
                self._queue.add(Request.of(before))
        if owner is not None:
            uid = owner["metadata"]["uid"]
            if type == "deleted" or podlib.is_terminating(pod):
                self._expectations.deletion_observed(uid, pod["metadata"]["uid"])
            elif type == "added":
                self._expectations.creation_observed(uid)
            self._queue.add(Request.of(owner))
        elif controller_of(pod) is None and type != "deleted":
            for candidate in self._sets.list(pod["metadata"]["namespace"]):
                if Selector.from_object(candidate["spec"]["selector"]).matches(pod["metadata"].get("labels") or {}):
                    self._queue.add(Request.of(candidate))

    def _owner(self, pod: Obj) -> Obj | None:
        """The ReplicaSet that controls the pod, if it is the one of that uid."""
        ref = controller_of(pod)
        if ref is None or ref["kind"] != "ReplicaSet":
            return None
        owner = self._sets.get(ref["name"], pod["metadata"]["namespace"])
        return owner if owner is not None and owner["metadata"]["uid"] == ref["uid"] else None

    async def reconcile(self, request: Request) -> Result | None:
        replicaset = self._sets.get(request.name, request.namespace)
        if replicaset is None:
            return None
        uid = replicaset["metadata"]["uid"]
        may_act = self._expectations.satisfied(uid)
        owned = await self._claim(replicaset)
        active = [pod for pod in owned if podlib.is_active(pod)]
        terminating = sum(podlib.is_terminating(pod) and not podlib.is_finished(pod) for pod in owned)
        failure: Exception | None = None
        reason = ""
        if may_act:
            plan = planning.plan(replicaset, active, self._related(replicaset), self._clock.time())
            if plan.create:
                reason, failure = "FailedCreate", await self._create(replicaset, plan.create)
            elif plan.delete:
                reason, failure = "FailedDelete", await self._delete(replicaset, plan.delete)
        failed = (reason, str(failure)) if failure is not None else None
        status, next_change = planning.status(replicaset, active, terminating, failed, self._clock.time())
        try:
            await write_status(self._client, REPLICA_SETS, replicaset, status)
        except StatusError as error:
            if not is_not_found(error):  # deleted meanwhile: nobody needs the status
                raise
        if failure is not None:
            raise failure
        if not may_act:
            return Result(requeue_after=EXPECTATION_SECONDS_MAX)
        return Result(requeue_after=next_change)

    async def _claim(self, replicaset: Obj) -> list[Obj]:
        selector = Selector.from_object(replicaset["spec"]["selector"])
        claims = claim(replicaset, selector, children(self._pods, replicaset))
        # A finished or dying pod is kept if it is ours, but not worth adopting.
        claims.adopt[:] = [pod for pod in claims.adopt if podlib.is_active(pod)]
        return await perform_claims(self._client, REPLICA_SETS, replicaset, PODS, claims)

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

        async def create(_: int) -> None:
            try:
                created = await self._client.create(PODS, pod)
            except (StatusError, ConnectionError) as error:
                self._expectations.creation_observed(metadata["uid"])
                if not _namespace_is_ending(error):
                    self._recorder.event(replicaset, "Warning", "FailedCreate", f"Error creating: {error}")
                raise
            name = created["metadata"]["name"]
            self._recorder.event(replicaset, "Normal", "SuccessfulCreate", f"Created pod: {name}")

        self._expectations.expect_creations(metadata["uid"], count)
        tried = 0

        async def counted(number: int) -> None:
            nonlocal tried
            tried += 1
            await create(number)

        _, failure = await slow_start(range(count), counted)
        self._expectations.creation_observed(metadata["uid"], count - tried)
        return None if failure is not None and _namespace_is_ending(failure) else failure

    async def _delete(self, replicaset: Obj, pods: list[Obj]) -> Exception | None:
        uid = replicaset["metadata"]["uid"]

        async def delete(pod: Obj) -> None:
            name = pod["metadata"]["name"]
            try:
                there = await delete_exactly(self._client, PODS, pod)
            except (StatusError, ConnectionError) as error:
                self._expectations.deletion_observed(uid, pod["metadata"]["uid"])
                self._recorder.event(replicaset, "Warning", "FailedDelete", f"Error deleting: {error}")
                raise
            if there:
                self._recorder.event(replicaset, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")
            else:
                self._expectations.deletion_observed(uid, pod["metadata"]["uid"])

        self._expectations.expect_deletions(uid, [pod["metadata"]["uid"] for pod in pods])
        failures = await all_of(pods, delete)
        return failures[0] if failures else None


def _namespace_is_ending(error: Exception) -> bool:
    """Refused because the namespace is being deleted, as this ReplicaSet soon will be: nothing to report or retry."""
    details = error.details if isinstance(error, StatusError) else None
    causes = (details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
