"""The life of a DaemonSet: claim its pods and revisions, create and delete what the plan says, write its status.

Counts only what its informer shows, and therefore waits, by expectations, until what it asked for last time is visible.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.api.errors import namespace_is_ending
from wherry.api.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from wherry.api.types import Obj
from wherry.controllers.daemonset import nodes as placing
from wherry.controllers.daemonset import pods as members
from wherry.controllers.daemonset.plan import Plan, View, plan
from wherry.controllers.daemonset.status import status
from wherry.reconcile import revisions as histories
from wherry.reconcile.controller import Controller
from wherry.reconcile.expectations import EXPECTATION_SECONDS_MAX
from wherry.reconcile.ownership import claim_children, concerned, controller_of, index_by_owner
from wherry.reconcile.parts import Parts
from wherry.reconcile.pod_control import PodControl
from wherry.reconcile.pods import phase
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly, write_status_if_there

FAILED_SECONDS_MIN = 1.0
FAILED_SECONDS_MAX = 900.0
"""kube-controller-manager's back-off for a node whose pod fails again and again: 1 s, doubled, at most 15 min."""

PAUSE_SECONDS_PER_NODE = 2e-4
PAUSE_SECONDS_MAX = 1.0
"""A look costs some 15 microseconds per node. Waiting this long for more news bounds looking to about a tenth of the time
when thousands of pods change at once; with a few nodes it is nothing."""


def build(parts: Parts, *, workers: int = 2) -> Controller:
    """The controller, wired to the informers of DaemonSets, pods, nodes and ControllerRevisions."""
    queue: WorkQueue[Request] = WorkQueue("daemonset", parts.clock)
    reconciler = DaemonSetReconciler(parts, queue)
    return Controller("daemonset", reconciler, queue, workers=workers, sources=reconciler.sources)


class FailedPods:
    """How long to leave a failed pod of a node alone before another is tried there, per set and node."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[float, float]] = {}
        """(set's uid, node) -> (when the last was deleted, seconds to wait after it)."""

    def wait(self, uid: str, node: str, now: float) -> float:
        """Seconds until the pod there may go; 0 now, and then the next wait is twice as long."""
        since, seconds = self._last.get((uid, node), (0.0, 0.0))
        if now < since + seconds:
            return since + seconds - now
        if now > since + 2 * FAILED_SECONDS_MAX:
            seconds = 0.0  # it has behaved for long
        self._last[uid, node] = (now, min(max(2 * seconds, FAILED_SECONDS_MIN), FAILED_SECONDS_MAX))
        return 0.0

    def forget(self, uid: str) -> None:
        for key in [key for key in self._last if key[0] == uid]:
            del self._last[key]


class DaemonSetReconciler:
    """`on_*` turn watch events into keys and fulfilled expectations; `reconcile` does the rest."""

    def __init__(self, parts: Parts, queue: WorkQueue[Request]) -> None:
        gvrs = (DAEMON_SETS, PODS, NODES, CONTROLLER_REVISIONS)
        self.sources = tuple(parts.factory.informer(gvr) for gvr in gvrs)
        self._sets, self._pods, self._nodes, self._revisions = self.sources
        index_by_owner(self._pods)
        index_by_owner(self._revisions)
        self._client = parts.client
        self._recorder = parts.recorder
        self._clock = parts.clock
        self._queue = queue
        self._control = PodControl(parts)
        self._failed = FailedPods()
        self._node_count = 0
        self._told: dict[str, Obj] = {}
        """uid -> the status last worked out."""
        self._sets.add_handler(self.on_daemonset)
        self._pods.add_handler(self.on_pod)
        self._nodes.add_handler(self.on_node)

    def on_daemonset(self, type: str, obj: Obj, old: Obj | None) -> None:
        if type == "deleted":
            self._control.expectations.forget(obj["metadata"]["uid"])
            self._failed.forget(obj["metadata"]["uid"])
            self._told.pop(obj["metadata"]["uid"], None)
        # Our own status is no news. An earlier one of ours is: what came after it was compared with one still older.
        if old is None or _asks(old) != _asks(obj) or obj.get("status") != self._told.get(obj["metadata"]["uid"]):
            self._queue.add(Request.of(obj))

    def on_pod(self, type: str, pod: Obj, old: Obj | None) -> None:
        owner = controller_of(pod)
        if owner is not None and owner["kind"] == "DaemonSet":
            self._control.observe(owner["uid"], type, pod)
        for daemonset in concerned(self._sets, "DaemonSet", type, pod, old):
            self._look_soon(daemonset)

    def on_node(self, type: str, node: Obj, old: Obj | None) -> None:
        self._node_count += (type == "added") - (type == "deleted")
        if old is not None and placing.placement(old) == placing.placement(node):
            return
        for daemonset in self._sets.list():
            self._look_soon(daemonset)

    def _look_soon(self, daemonset: Obj) -> None:
        pause = min(self._node_count * PAUSE_SECONDS_PER_NODE, PAUSE_SECONDS_MAX)
        self._queue.add_after(Request.of(daemonset), pause)

    async def reconcile(self, request: Request) -> Result | None:
        daemonset = self._sets.get(request.name, request.namespace)
        if daemonset is None:
            return None
        uid = daemonset["metadata"]["uid"]
        revisions = await claim_children(self._client, DAEMON_SETS, daemonset, CONTROLLER_REVISIONS, self._revisions)
        revisions = [await self._labelled(one) for one in revisions]
        history = histories.look(daemonset, revisions, members.HASH_LABEL)
        update = await self._labelled(await histories.store(self._client, DAEMON_SETS, daemonset, history))
        may_act = self._control.expectations.satisfied(uid)
        pods = await claim_children(self._client, DAEMON_SETS, daemonset, PODS, self._pods)
        hash_value = update["metadata"]["labels"][members.HASH_LABEL]
        now = self._clock.time()
        view = View.of(daemonset, hash_value, members.by_node(pods), self._nodes.list(), now)
        failure, look_again = None, None
        if may_act:
            failure, look_again = await self._perform(view, plan(view))
        new, next_change = status(view)
        self._told[uid] = new
        await write_status_if_there(self._client, DAEMON_SETS, daemonset, new)
        await self._clean_up(daemonset, revisions, update, pods)
        if failure is not None:
            raise failure
        if not may_act:
            return Result(requeue_after=EXPECTATION_SECONDS_MAX)
        times = [one for one in (look_again, next_change) if one is not None]
        return Result(requeue_after=min(times)) if times else None

    async def _labelled(self, revision: Obj) -> Obj:
        """A revision that somebody else left behind lacks the label pods are told apart by: it is its name, as in Kubernetes."""
        metadata = revision["metadata"]
        labels = metadata.get("labels") or {}
        if members.HASH_LABEL in labels:
            return revision
        labels = {**labels, members.HASH_LABEL: metadata["name"]}
        return await self._client.update(CONTROLLER_REVISIONS, {**revision, "metadata": {**metadata, "labels": labels}})

    async def _perform(self, view: View, todo: Plan) -> tuple[Exception | None, float | None]:
        """The first failure, and in how many seconds a failed pod may be replaced."""
        daemonset = view.daemonset
        patience: dict[str, float] = {}
        for pod in todo.ended:
            wait = self._tell_ended(daemonset, pod)
            if wait > 0:
                patience[pod["metadata"]["uid"]] = wait
        delete = [pod for pod in todo.delete if pod["metadata"]["uid"] not in patience]
        failure = await self._control.delete(daemonset, delete) if delete else None
        if todo.create:
            pods = [members.new_pod(daemonset, node, view.hash) for node in todo.create]
            _, refused = await self._control.create(daemonset, pods)
            if refused is not None and not namespace_is_ending(refused):
                failure = failure or refused
        return failure, min(patience.values(), default=None)

    def _tell_ended(self, daemonset: Obj, pod: Obj) -> float:
        """Seconds to wait before this ended pod is deleted; says so when it is now."""
        metadata, node = pod["metadata"], members.node_of(pod)
        where = f"daemon pod {metadata['namespace']}/{metadata['name']} on node {node}"
        if phase(pod) == "Succeeded":
            text = f"Found succeeded {where}, will try to delete it"
            self._recorder.event(daemonset, "Normal", "SucceededDaemonPod", text)
            return 0.0
        wait = self._failed.wait(daemonset["metadata"]["uid"], node, self._clock.monotonic())
        if wait <= 0:
            text = f"Found failed {where}, will try to kill it"
            self._recorder.event(daemonset, "Warning", "FailedDaemonPod", text)
        return wait

    async def _clean_up(self, daemonset: Obj, revisions: Sequence[Obj], update: Obj, pods: Sequence[Obj]) -> None:
        hashes = {(pod["metadata"].get("labels") or {}).get(members.HASH_LABEL) for pod in pods}
        used = {one["metadata"]["name"] for one in revisions if one["metadata"]["labels"][members.HASH_LABEL] in hashes}
        for old in histories.to_forget(daemonset, revisions, used | {update["metadata"]["name"]}):
            await delete_exactly(self._client, CONTROLLER_REVISIONS, old)


def _asks(daemonset: Obj) -> tuple[object, ...]:
    """All but the status, which only we write."""
    metadata = daemonset["metadata"]
    kept = ("generation", "annotations", "labels", "deletionTimestamp", "finalizers")
    return tuple(metadata.get(key) for key in kept)
