"""Performs a Job's plan: stops and makes pods, counts the ended ones, writes the status.

Counting order, so that a kill -9 between any two steps neither loses nor doubles a pod: name it in the status, take its
finalizer away, add it to the number and drop the name.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.errors import StatusError, is_not_found
from wherry.api.resources import JOBS, PODS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.controllers.job import status as statuses
from wherry.controllers.job.observation import TRACKING, Observed, observe
from wherry.controllers.job.plan import Plan, is_over, plan
from wherry.controllers.job.pods import JOB_INDEX, pod_of, tracked_keys
from wherry.reconcile.batches import all_of
from wherry.reconcile.controller import Controller
from wherry.reconcile.expectations import EXPECTATION_SECONDS_MAX
from wherry.reconcile.gathering import seconds_for
from wherry.reconcile.ownership import (
    adopters,
    claim_children,
    controller_of,
    index_by_owner,
)
from wherry.reconcile.parts import Parts
from wherry.reconcile.pod_control import PodControl
from wherry.reconcile.pods import is_active, is_finished, is_terminating
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue

OURS = "kubernetes.io/job-controller"


def build(parts: Parts, *, workers: int = 5) -> Controller:
    """The controller, wired to the informers of Jobs and pods."""
    queue: WorkQueue[Request] = WorkQueue("job", parts.clock)
    jobs, pods = parts.factory.informer(JOBS), parts.factory.informer(PODS)
    index_by_owner(pods)
    pods.add_index(JOB_INDEX, tracked_keys)
    reconciler = JobReconciler(parts, jobs, pods, queue)
    jobs.add_handler(reconciler.on_job)
    pods.add_handler(reconciler.on_pod)
    return Controller("job", reconciler, queue, workers=workers, sources=(jobs, pods))


class JobReconciler:
    """`on_*` turn watch events into keys and fulfilled expectations."""

    def __init__(self, parts: Parts, jobs: Informer, pods: Informer, queue: WorkQueue[Request]) -> None:
        self._client = parts.client
        self._jobs = jobs
        self._pods = pods
        self._recorder = parts.recorder
        self._clock = parts.clock
        self._queue = queue
        self._control = PodControl(parts)
        self._released: set[str] = set()
        self._written: dict[str, int] = {}
        self._pods_seen: dict[str, int] = {}
        """How many pods a Job had at the last look, finished ones too."""

    def on_job(self, type: str, job: Obj, old: Obj | None) -> None:
        if type == "deleted":
            self._control.expectations.forget(job["metadata"]["uid"])
            self._written.pop(job["metadata"]["uid"], None)
            self._pods_seen.pop(job["metadata"]["uid"], None)
        # Mostly it is our own status that arrives.
        self._queue.add_after(Request.of(job), seconds_for(self._pods_seen.get(job["metadata"]["uid"], 0)))

    def on_pod(self, type: str, pod: Obj, old: Obj | None) -> None:
        ref = controller_of(pod)
        namespace = pod["metadata"]["namespace"]
        if type == "deleted" or TRACKING not in (pod["metadata"].get("finalizers") or ()):
            self._released.discard(pod["metadata"]["uid"])
        if ref is not None and ref["kind"] == "Job":
            waited = not self._control.expectations.satisfied(ref["uid"])
            self._control.observe(ref["uid"], type, pod)
            arrived = waited and self._control.expectations.satisfied(ref["uid"])
            pause = 0.0 if arrived else seconds_for(self._pods_seen.get(ref["uid"], 0))
            self._queue.add_after(Request(namespace, ref["name"]), pause)
        elif ref is None and type != "deleted":
            for job in adopters(self._jobs.list(namespace), pod):
                self._queue.add(Request.of(job))

    async def reconcile(self, request: Request) -> Result | None:
        job = self._jobs.get(request.name, request.namespace)
        await self._let_orphans_go(request, job)
        if job is None or job["spec"].get("managedBy", OURS) != OURS:
            return None
        uid = job["metadata"]["uid"]
        if int(job["metadata"]["resourceVersion"]) < self._written.get(uid, 0):
            return None  # our own last status is not visible yet: its arrival is the next look
        pods = await claim_children(self._client, JOBS, job, PODS, self._pods, adoptable=is_active)
        if is_over(job):
            await self._release(pod for pod in pods if TRACKING in (pod["metadata"].get("finalizers") or ()))
            return None
        self._pods_seen[uid] = len(pods)
        if not self._control.expectations.satisfied(uid):
            return Result(requeue_after=EXPECTATION_SECONDS_MAX)
        seen = observe(job, pods, self._clock.time(), self._released)
        todo = plan(seen, self._clock.time())
        try:
            created, failure = await self._perform(seen, todo)
            await self._count(seen, todo, created)
        except StatusError as error:
            if is_not_found(error) and self._jobs.get(request.name, request.namespace) is None:
                return None
            raise
        if failure is not None:
            raise failure
        return Result(requeue_after=todo.look_again)

    # -- pods

    async def _perform(self, seen: Observed, todo: Plan) -> tuple[int, Exception | None]:
        """How many pods were made, and what went wrong."""
        if todo.delete:
            if todo.verdict is None:
                # Too many, not failed: they must not be counted.
                await self._release(todo.delete)
            failure = await self._control.delete(seen.job, todo.delete)
            if failure is not None:
                return 0, failure
        if not todo.create:
            return 0, None
        return await self._control.create(seen.job, [pod_of(seen, index) for index in todo.create])

    # -- counting

    async def _count(self, seen: Observed, todo: Plan, created: int) -> None:
        job = seen.job
        named = await self._write(job, statuses.pending(seen))
        uncounted = named.get("status", {}).get("uncountedTerminatedPods") or {}
        uids = [*(uncounted.get("succeeded") or ()), *(uncounted.get("failed") or ())]
        done = [seen.tracked[uid] for uid in uids if uid in seen.tracked]
        await self._release([*done, *seen.ignored])
        status = statuses.counted(seen, todo.verdict, created, self._clock.time())
        stored = await self._write(named, status)
        self._tell(job, stored)

    async def _write(self, job: Obj, status: Obj) -> Obj:
        """Numbers are only right on the version they were counted on: a conflict means to count again."""
        if job.get("status", {}) == status:
            return job
        stored = await self._client.update(JOBS, {**job, "status": status}, subresource="status")
        self._written[job["metadata"]["uid"]] = int(stored["metadata"]["resourceVersion"])
        return stored

    async def _release(self, pods: Iterable[Obj]) -> None:
        failures = await all_of(list(pods), self._drop_finalizer)
        if failures:
            raise failures[0]

    async def _drop_finalizer(self, pod: Obj) -> None:
        metadata = pod["metadata"]
        if TRACKING not in (metadata.get("finalizers") or ()) or metadata["uid"] in self._released:
            return
        patch = {"metadata": {"uid": metadata["uid"], "$deleteFromPrimitiveList/finalizers": [TRACKING]}}
        try:
            await self._client.patch(PODS, metadata["name"], patch, metadata["namespace"], type="strategic")
        except StatusError as error:
            if not is_not_found(error):
                raise
            return
        shown = self._pods.get(metadata["name"], metadata["namespace"])
        if shown is not None and TRACKING in (shown["metadata"].get("finalizers") or ()):
            self._released.add(metadata["uid"])

    async def _let_orphans_go(self, request: Request, job: Obj | None) -> None:
        """Pods of a Job that is gone: nobody will count them, so nothing must hold them."""
        uid = job["metadata"]["uid"] if job is not None else ""
        going = job is not None and "deletionTimestamp" in job["metadata"]
        for pod in self._pods.by_index(JOB_INDEX, str(request)):
            ref = controller_of(pod)
            if ref is None or ref["uid"] != uid or (going and is_terminating(pod) and is_finished(pod)):
                await self._drop_finalizer(pod)

    def _tell(self, before: Obj, after: Obj) -> None:
        if is_over(before):
            return
        for found in after.get("status", {}).get("conditions") or ():
            known = any(
                one["type"] == found["type"] and one["status"] == found["status"]
                for one in before.get("status", {}).get("conditions") or ()
            )
            if known:
                continue
            match found["type"], found["status"]:
                case "Complete", "True":
                    self._recorder.event(after, "Normal", "Completed", "Job completed")
                case "Failed", "True":
                    self._recorder.event(after, "Warning", found["reason"], found["message"])
                case "Suspended", "True":
                    self._recorder.event(after, "Normal", "Suspended", "Job suspended")
                case "Suspended", "False":
                    self._recorder.event(after, "Normal", "Resumed", "Job resumed")
