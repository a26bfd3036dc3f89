"""Keeps the status of PodDisruptionBudgets true. Never overwrites blindly: the API server writes announcements of evictions
into the same status, so a conflict means to look again.
"""

from __future__ import annotations

from wherry.api.errors import is_conflict, is_not_found
from wherry.api.labels import Selector, SelectorError
from wherry.api.resources import (
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.controllers.pod_disruption_budget import plan as planning
from wherry.controllers.pod_disruption_budget.owners import Owners, Unknown
from wherry.reconcile.controller import Controller
from wherry.reconcile.gathering import seconds_for
from wherry.reconcile.kinds import Kinds
from wherry.reconcile.ownership import controller_uid
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import is_ready, is_terminating
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue

SCALED = {
    "Deployment": DEPLOYMENTS,
    "ReplicaSet": REPLICA_SETS,
    "ReplicationController": REPLICATION_CONTROLLERS,
    "StatefulSet": STATEFUL_SETS,
}
NO_OWNER = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of the "
    "PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set "
    '".spec.minAvailable" field of the PDB to an integer value.'
)
WAIT_SECONDS = 30.0
"""How soon to look again when owners could not be asked: their kind may be served or their scale change meanwhile."""


def build(parts: Parts, *, scheme: Kinds, workers: int = 2) -> Controller:
    """The controller; `scheme` finds the scale of owners that are not built in."""
    queue: WorkQueue[Request] = WorkQueue("pod-disruption-budget", parts.clock)
    budgets, pods = parts.factory.informer(POD_DISRUPTION_BUDGETS), parts.factory.informer(PODS)
    scaled = {kind: parts.factory.informer(gvr) for kind, gvr in SCALED.items()}
    reconciler = DisruptionReconciler(parts, budgets, pods, Owners(parts.client, scheme, scaled))

    def on_pod(type: str, pod: Obj, old: Obj | None) -> None:
        if type == "modified" and old is not None and _counts_as(old) == _counts_as(pod):
            return
        for one in budgets.list(pod["metadata"]["namespace"]):
            if covers(one, pod) or (old is not None and covers(one, old)):
                queue.add_after(Request.of(one), seconds_for(one.get("status", {}).get("expectedPods", 0)))

    def on_owner(type: str, owner: Obj, old: Obj | None) -> None:
        if old is not None and old["spec"].get("replicas") == owner["spec"].get("replicas"):
            return
        for one in budgets.list(owner["metadata"]["namespace"]):
            if planning.asks_owners(one):
                queue.add(Request.of(one))

    budgets.add_handler(lambda type, obj, old: queue.add(Request.of(obj)))
    pods.add_handler(on_pod)
    for informer in scaled.values():
        informer.add_handler(on_owner)
    sources = (budgets, pods, *scaled.values())
    return Controller("pod-disruption-budget", reconciler, queue, workers=workers, sources=sources)


def covers(budget: Obj, pod: Obj) -> bool:
    """Whether the pod is one of the budget's. No selector means no pods, an empty one all."""
    try:
        selector = Selector.from_object(budget["spec"].get("selector"))
    except SelectorError:
        return False
    return selector.matches(pod["metadata"].get("labels"))


def _counts_as(pod: Obj) -> tuple[object, ...]:
    """What of a pod shows in a budget's status."""
    metadata = pod["metadata"]
    return metadata["uid"], metadata.get("labels"), is_terminating(pod), is_ready(pod), controller_uid(pod)


class DisruptionReconciler:
    def __init__(self, parts: Parts, budgets: Informer, pods: Informer, owners: Owners) -> None:
        self._client = parts.client
        self._budgets = budgets
        self._pods = pods
        self._owners = owners
        self._recorder = parts.recorder
        self._clock = parts.clock

    async def reconcile(self, request: Request) -> Result | None:
        budget = self._budgets.get(request.name, request.namespace)
        if budget is None or "deletionTimestamp" in budget["metadata"]:
            return None
        pods = self._covered(budget)
        if not pods:
            self._recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        now = self._clock.time()
        try:
            needed = await self._need(budget, pods)
        except Unknown as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self._recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            again = await self._write(budget, planning.failed(budget, str(error), now))
            return again or Result(requeue_after=WAIT_SECONDS)
        look = planning.look(budget, pods, needed, now)
        for pod in look.not_deleted:
            text = f"Pod was expected by PDB {request} to be deleted but it wasn't"
            self._recorder.event(pod, "Warning", "NotDeleted", text)
        return await self._write(budget, look.status) or Result(requeue_after=look.look_again)

    def _covered(self, budget: Obj) -> list[Obj]:
        """Its pods, as `covers` says."""
        try:
            selector = Selector.from_object(budget["spec"].get("selector"))
        except SelectorError:
            return []
        return self._pods.list(budget["metadata"]["namespace"], selector)

    async def _need(self, budget: Obj, pods: list[Obj]) -> planning.Need:
        if not planning.asks_owners(budget):
            return planning.need(budget, len(pods), 0)
        scale, unmanaged = await self._owners.wanted(pods)
        if unmanaged:
            selector = Selector.from_object(budget["spec"].get("selector"))
            self._recorder.event(budget, "Warning", "UnmanagedPods", NO_OWNER.format(selector))
        return planning.need(budget, len(pods), scale)

    async def _write(self, budget: Obj, status: Obj) -> Result | None:
        """Result to retry when somebody wrote first; the informer will show what."""
        if budget.get("status", {}) == status:
            return None
        try:
            await self._client.update(POD_DISRUPTION_BUDGETS, {**budget, "status": status}, subresource="status")
        except Exception as error:
            if is_conflict(error):
                return Result(retry=True)
            if not is_not_found(error):
                raise
        return None
