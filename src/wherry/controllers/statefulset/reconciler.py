"""Performs a StatefulSet's plan. Names are fixed, so a plan made on an outdated view cannot make a second pod:
the name is taken, or the uid to delete is another.
"""

from __future__ import annotations

from wherry.api.errors import StatusError, is_already_exists, is_not_found
from wherry.api.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from wherry.api.types import GVR, Obj
from wherry.client.informer import Informer
from wherry.controllers.statefulset import pods as members
from wherry.controllers.statefulset.plan import Create, Plan, plan
from wherry.controllers.statefulset.status import status
from wherry.reconcile import revisions as histories
from wherry.reconcile.batches import all_of
from wherry.reconcile.controller import Controller
from wherry.reconcile.ownership import (
    adopters,
    claim_children,
    controller_of,
    index_by_owner,
)
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import is_finished, is_terminating
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly, with_metadata, write_status_if_there

HASH_LABEL = "controller.kubernetes.io/hash"


def build(parts: Parts, *, workers: int = 5) -> Controller:
    """The controller, wired to the informers of StatefulSets, pods, claims and ControllerRevisions."""
    queue: WorkQueue[Request] = WorkQueue("statefulset", parts.clock)
    gvrs = (STATEFUL_SETS, PODS, PERSISTENT_VOLUME_CLAIMS, CONTROLLER_REVISIONS)
    sets, pods, claims, revisions = sources = tuple(parts.factory.informer(gvr) for gvr in gvrs)
    index_by_owner(pods)
    index_by_owner(revisions)
    reconciler = StatefulSetReconciler(parts, sets, pods, claims, revisions, queue)
    sets.add_handler(lambda type, obj, old: queue.add(Request.of(obj)))
    pods.add_handler(reconciler.on_pod)
    return Controller("statefulset", reconciler, queue, workers=workers, sources=sources)


class StatefulSetReconciler:
    def __init__(
        self,
        parts: Parts,
        sets: Informer,
        pods: Informer,
        claims: Informer,
        revisions: Informer,
        queue: WorkQueue[Request],
    ) -> None:
        self._client = parts.client
        self._sets = sets
        self._pods = pods
        self._claims = claims
        self._revisions = revisions
        self._recorder = parts.recorder
        self._clock = parts.clock
        self._queue = queue

    def on_pod(self, type: str, pod: Obj, old: Obj | None) -> None:
        for one in (pod, old):
            ref = controller_of(one) if one is not None else None
            if ref is not None and ref["kind"] == "StatefulSet":
                self._queue.add(Request(pod["metadata"]["namespace"], ref["name"]))
        if controller_of(pod) is None and type != "deleted":
            for candidate in adopters(self._sets.list(pod["metadata"]["namespace"]), pod):
                self._queue.add(Request.of(candidate))

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
        await self._perform(statefulset, pods, todo, current, update)
        collisions = statefulset.get("status", {}).get("collisionCount", 0)
        new, next_change = status(statefulset, pods, *names, collisions, self._clock.time())
        await write_status_if_there(self._client, STATEFUL_SETS, statefulset, new)
        used = {(pod["metadata"].get("labels") or {}).get(members.REVISION, "") for pod in pods}
        for old in histories.to_forget(statefulset, revisions, used | {*names}):
            await delete_exactly(self._client, CONTROLLER_REVISIONS, old)
        return Result(requeue_after=next_change)

    # -- pods and their claims

    async def _perform(self, statefulset: Obj, pods: list[Obj], todo: Plan, current: Obj, update: Obj) -> None:
        condemned = {pod["metadata"]["uid"] for pod in todo.condemned}
        for pod in pods:
            await self._settle_claims(statefulset, pod, condemned=pod["metadata"]["uid"] in condemned)
        for pod in pods:
            await self._settle_identity(statefulset, pod)
        failures = await all_of(todo.delete, lambda pod: self._delete(statefulset, pod))

        async def create(one: Create) -> None:
            await self._create(statefulset, one.ordinal, update if one.updated else current)

        failures += await all_of(todo.create, create)
        if failures:
            raise failures[0]

    async def _create(self, statefulset: Obj, ordinal: int, revision: Obj) -> None:
        set_name, name = statefulset["metadata"]["name"], members.pod_name(statefulset, ordinal)
        for wanted in members.claims_of(statefulset, ordinal):
            claim_name = wanted["metadata"]["name"]
            what = f"Claim {claim_name} Pod {name} in StatefulSet {set_name}"
            if self._claims.get(claim_name, wanted["metadata"]["namespace"]) is None:
                await self._make(statefulset, PERSISTENT_VOLUME_CLAIMS, wanted, f"create {what} success", what)
        pod = members.new_pod(statefulset, ordinal, histories.template_of(revision), revision["metadata"]["name"])
        what = f"Pod {name} in StatefulSet {set_name}"
        await self._make(statefulset, PODS, pod, f"create {what} successful", what)

    async def _make(self, statefulset: Obj, gvr: GVR, obj: Obj, success: str, what: str) -> None:
        try:
            await self._client.create(gvr, obj)
        except StatusError as error:
            if is_already_exists(error):
                return  # ours, not visible yet; or a stranger's, which then is never healthy
            text = f"create {what} failed error: {error.message}"
            self._recorder.event(statefulset, "Warning", "FailedCreate", text)
            raise
        self._recorder.event(statefulset, "Normal", "SuccessfulCreate", success)

    async def _delete(self, statefulset: Obj, pod: Obj) -> None:
        name, set_name = pod["metadata"]["name"], statefulset["metadata"]["name"]
        if is_finished(pod):
            text = f"StatefulSet {statefulset['metadata']['namespace']}/{set_name} is recreating failed Pod {name}"
            self._recorder.event(statefulset, "Warning", "RecreatingFailedPod", text)
        try:
            there = await delete_exactly(self._client, PODS, pod)
        except StatusError as error:
            text = f"delete Pod {name} in StatefulSet {set_name} failed error: {error.message}"
            self._recorder.event(statefulset, "Warning", "FailedDelete", text)
            raise
        if there:
            text = f"delete Pod {name} in StatefulSet {set_name} successful"
            self._recorder.event(statefulset, "Normal", "SuccessfulDelete", text)

    async def _settle_identity(self, statefulset: Obj, pod: Obj) -> None:
        labels, metadata = members.missing_labels(statefulset, pod), pod["metadata"]
        if not labels or is_terminating(pod):
            return
        patch = {"metadata": {"uid": metadata["uid"], "labels": labels}}
        try:
            await self._client.patch(PODS, metadata["name"], patch, metadata["namespace"], type="merge")
        except StatusError as error:
            if not is_not_found(error):
                raise

    async def _settle_claims(self, statefulset: Obj, pod: Obj, *, condemned: bool) -> None:
        """Let the claims' owners say what the retention policy says now; before a pod is scaled away they are its own."""
        ordinal = members.ordinal_of(statefulset, pod)
        for template in statefulset["spec"].get("volumeClaimTemplates") or ():
            if ordinal is None:
                return
            name = members.claim_name(statefulset, template, ordinal)
            found = self._claims.get(name, statefulset["metadata"]["namespace"])
            if found is None or "deletionTimestamp" in found["metadata"]:
                continue
            owners = members.owners_wanted(statefulset, found, pod, condemned=condemned)
            if owners != (found["metadata"].get("ownerReferences") or []):
                changed = with_metadata(found, ownerReferences=owners)
                await self._client.update(PERSISTENT_VOLUME_CLAIMS, changed)
