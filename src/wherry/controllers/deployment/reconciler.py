"""Performs a Deployment's plan and writes its status.

Writes go one after the other and stop at the first that fails: an informer that lags makes a stale plan, its first write
conflicts, and nothing after it is done on old knowledge.
"""

from __future__ import annotations

from msgspec import Struct, field

from wherry.api.errors import StatusError, is_already_exists, is_not_found
from wherry.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.controllers.deployment import plan as planning
from wherry.controllers.deployment import revisions
from wherry.controllers.deployment import status as statuses
from wherry.controllers.deployment.template import same_template
from wherry.reconcile import pods as podlib
from wherry.reconcile.controller import Controller
from wherry.reconcile.ownership import (
    OWNER_INDEX,
    claim_children,
    concerned,
    controller_of,
    controller_uid,
    index_by_owner,
    owner_in,
)
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly, write_status


def build(parts: Parts, *, workers: int = 5) -> Controller:
    """The controller, wired to the informers of Deployments, ReplicaSets and pods."""
    queue: WorkQueue[Request] = WorkQueue("deployment", parts.clock)
    deployments, sets, pods = (parts.factory.informer(gvr) for gvr in (DEPLOYMENTS, REPLICA_SETS, PODS))
    index_by_owner(sets)
    index_by_owner(pods)
    reconciler = DeploymentReconciler(parts, deployments, sets, pods, queue)
    deployments.add_handler(lambda type, obj, old: queue.add(Request.of(obj)))
    sets.add_handler(reconciler.on_replicaset)
    pods.add_handler(reconciler.on_pod)
    return Controller("deployment", reconciler, queue, workers=workers, sources=(deployments, sets, pods))


class _Outcome(Struct):
    """What the world looks like after a plan, as far as the answers to our own writes tell."""

    deployment: Obj
    sets: dict[str, Obj] = field(default_factory=dict)
    created: bool = False


class DeploymentReconciler:
    """`on_*` turn watch events into keys; `reconcile` claims, plans, performs and reports."""

    def __init__(
        self, parts: Parts, deployments: Informer, sets: Informer, pods: Informer, queue: WorkQueue[Request]
    ) -> None:
        self._client = parts.client
        self._deployments = deployments
        self._sets = sets
        self._pods = pods
        self._recorder = parts.recorder
        self._clock = parts.clock
        self._queue = queue

    def on_replicaset(self, type: str, obj: Obj, old: Obj | None) -> None:
        for deployment in concerned(self._deployments, "Deployment", type, obj, old):
            self._queue.add(Request.of(deployment))

    def on_pod(self, type: str, pod: Obj, old: Obj | None) -> None:
        """Only strategy Recreate waits for pods themselves: the last old one is gone."""
        if type == "added" or (type == "modified" and not podlib.is_finished(pod)):
            return
        ref = controller_of(pod)
        if ref is None or ref["kind"] != "ReplicaSet":
            return
        owner = self._sets.get(ref["name"], pod["metadata"]["namespace"])
        if owner is not None:
            deployment = owner_in(self._deployments, "Deployment", owner)
            if deployment is not None and (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
                self._queue.add(Request.of(deployment))

    async def reconcile(self, request: Request) -> Result | None:
        deployment = self._deployments.get(request.name, request.namespace)
        if deployment is None:
            return None
        selector = deployment["spec"]["selector"]
        if not (selector.get("matchLabels") or selector.get("matchExpressions")):
            text = "This deployment is selecting all pods. A non-empty selector is required."
            self._recorder.event(deployment, "Warning", "SelectingAll", text)
            return None
        sets = await claim_children(self._client, DEPLOYMENTS, deployment, REPLICA_SETS, self._sets)
        plan = planning.plan(deployment, sets, old_pods_run=self._old_pods_run(deployment, sets))
        outcome = _Outcome(deployment, {one["metadata"]["name"]: one for one in sets})
        try:
            await self._perform(plan, outcome)
            return await self._report(outcome)
        except StatusError as error:
            if is_not_found(error) and self._deployments.get(request.name, request.namespace) is None:
                return None
            raise

    def _old_pods_run(self, deployment: Obj, sets: list[Obj]) -> bool:
        """Pods of an outdated template that have not ended; one that is being deleted still runs."""
        new = revisions.find_new(deployment, sets)
        return any(
            not podlib.is_finished(pod)
            for one in sets
            if new is None or one["metadata"]["uid"] != new["metadata"]["uid"]
            for pod in self._pods.by_index(OWNER_INDEX, one["metadata"]["uid"])
        )

    async def _perform(self, plan: planning.Plan, outcome: _Outcome) -> None:
        if plan.create is not None:
            await self._create(plan.create, outcome)
        for before, after in plan.update:
            stored = await self._client.update(REPLICA_SETS, after)
            outcome.sets[stored["metadata"]["name"]] = stored
            self._tell_scaled(outcome.deployment, before, after)
        if plan.revision:
            patch = {"metadata": {"annotations": {revisions.REVISION: plan.revision}}}
            metadata = outcome.deployment["metadata"]
            # Through its status, as Kubernetes does: managedFields show by which way a field was written.
            outcome.deployment = await self._client.patch(
                DEPLOYMENTS, metadata["name"], patch, metadata["namespace"], subresource="status"
            )
        for one in plan.delete:
            await delete_exactly(self._client, REPLICA_SETS, one)
            outcome.sets.pop(one["metadata"]["name"], None)

    async def _create(self, new: Obj, outcome: _Outcome) -> None:
        deployment, name = outcome.deployment, new["metadata"]["name"]
        try:
            outcome.sets[name] = await self._client.create(REPLICA_SETS, new)
        except StatusError as error:
            if is_already_exists(error):
                if not await self._adopt_or_count_collision(new, outcome):
                    raise
                return
            text = f'Failed to create new replica set "{name}": {error.message}'
            self._recorder.event(deployment, "Warning", "ReplicaSetCreateError", text)
            status = statuses.failed_to_create(deployment, name, error.message, self._clock.time())
            await write_status(self._client, DEPLOYMENTS, deployment, status)
            raise
        outcome.created = True
        self._tell_scaled(deployment, None, new)

    async def _adopt_or_count_collision(self, new: Obj, outcome: _Outcome) -> bool:
        """Its name is taken: by what we created a moment ago and do not see yet, which is taken, or by somebody else's
        ReplicaSet: False, and the next try has another name."""
        metadata = new["metadata"]
        existing = await self._client.get(REPLICA_SETS, metadata["name"], metadata["namespace"])
        deployment = outcome.deployment
        ours = controller_uid(existing) == deployment["metadata"]["uid"]
        if ours and same_template(existing["spec"]["template"], deployment["spec"]["template"]):
            outcome.sets[metadata["name"]] = existing
            return True
        status = deployment.get("status", {})
        status = {**status, "collisionCount": status.get("collisionCount", 0) + 1}
        await write_status(self._client, DEPLOYMENTS, deployment, status)
        return False

    def _tell_scaled(self, deployment: Obj, before: Obj | None, after: Obj) -> None:
        old = planning.replicas_of(before) if before is not None else 0
        new = planning.replicas_of(after)
        if old != new:
            direction = "up" if new > old else "down"
            text = f"Scaled {direction} replica set {after['metadata']['name']} from {old} to {new}"
            self._recorder.event(deployment, "Normal", "ScalingReplicaSet", text)

    async def _report(self, outcome: _Outcome) -> Result:
        deployment, sets = outcome.deployment, list(outcome.sets.values())
        new = revisions.find_new(deployment, sets)
        now = self._clock.time()
        status = statuses.status(deployment, sets, new, now, created=outcome.created)
        await write_status(self._client, DEPLOYMENTS, deployment, status)
        return Result(requeue_after=statuses.seconds_to_deadline(deployment, status, now))
