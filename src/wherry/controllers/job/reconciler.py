"""Performs a Job's plan: stops and makes pods, counts the ended ones, writes the status.

Counting order, so that a kill -9 between any two steps neither loses nor doubles a pod: name it in the status, take its
finalizer away, add it to the number and drop the name.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.errors import StatusError, is_not_found
from wherry.api.labels import Selector
from wherry.api.resources import JOBS, PODS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.controllers.job import status as statuses
from wherry.controllers.job.observation import TRACKING, Observed, observe
from wherry.controllers.job.plan import Plan, is_over, plan
from wherry.controllers.job.pods import JOB_INDEX, pod_of, tracked_keys
from wherry.reconcile.batches import all_of, slow_start
from wherry.reconcile.controller import Controller
from wherry.reconcile.expectations import EXPECTATION_SECONDS_MAX, Expectations
from wherry.reconcile.ownership import (
    children,
    claim,
    controller_of,
    index_by_owner,
    perform_claims,
)
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import is_active, is_finished, is_terminating
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly

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
        self._expectations = Expectations(parts.clock)
        self._released: set[str] = set()
        self._written: dict[str, int] = {}

    def on_job(self, type: str, job: Obj, old: Obj | None) -> None:
        if type == "deleted":
            self._expectations.forget(job["metadata"]["uid"])
            self._written.pop(job["metadata"]["uid"], None)
        self._queue.add(Request.of(job))

    def on_pod(self, type: str, pod: Obj, old: Obj | None) -> None:
        ref = controller_of(pod)
        namespace = pod["metadata"]["namespace"]
        if type == "deleted" or TRACKING not in (pod["metadata"].get("finalizers") or ()):
            self._released.discard(pod["metadata"]["uid"])
        if ref is not None and ref["kind"] == "Job":
            if type == "deleted" or is_terminating(pod):
                self._expectations.deletion_observed(ref["uid"], pod["metadata"]["uid"])
            elif type == "added":
                self._expectations.creation_observed(ref["uid"])
            self._queue.add(Request(namespace, ref["name"]))
        elif ref is None and type != "deleted":
            for job in self._jobs.list(namespace):
                if Selector.from_object(job["spec"].get("selector")).matches(pod["metadata"].get("labels") or {}):
                    self._queue.add(Request.of(job))

    async def reconcile(self, request: Request) -> Result | None:
        job = self._jobs.get(request.name, request.namespace)
        await self._let_orphans_go(request, job)
        if job is None or job["spec"].get("managedBy", OURS) != OURS:
            return None
        uid = job["metadata"]["uid"]
        if int(job["metadata"]["resourceVersion"]) < self._written.get(uid, 0):
            return None  # our own last status is not visible yet: its arrival is the next look
        pods = await self._claim(job)
        if is_over(job):
            await self._release(pod for pod in pods if TRACKING in (pod["metadata"].get("finalizers") or ()))
            return None
        seen = observe(job, pods, self._clock.time(), self._released)
        if not self._expectations.satisfied(uid):
            return Result(requeue_after=EXPECTATION_SECONDS_MAX)
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

    async def _claim(self, job: Obj) -> list[Obj]:
        claims = claim(job, Selector.from_object(job["spec"].get("selector")), children(self._pods, job))
        claims.adopt[:] = [pod for pod in claims.adopt if is_active(pod)]
        return await perform_claims(self._client, JOBS, job, PODS, claims)

    # -- pods

    async def _perform(self, seen: Observed, todo: Plan) -> tuple[int, Exception | None]:
        """How many pods were made, and what went wrong."""
        if todo.delete:
            if todo.verdict is None:
                # Too many, not failed: they must not be counted.
                await self._release(todo.delete)
            failures = await all_of(todo.delete, lambda pod: self._stop(seen.job, pod))
            if failures:
                return 0, failures[0]
        if not todo.create:
            return 0, None
        uid = seen.job["metadata"]["uid"]
        self._expectations.expect_creations(uid, len(todo.create))
        tried = 0

        async def create(index: int | None) -> None:
            nonlocal tried
            tried += 1
            await self._create(seen, index)

        created, failure = await slow_start(todo.create, create)
        self._expectations.creation_observed(uid, len(todo.create) - tried)
        return created, failure

    async def _create(self, seen: Observed, index: int | None) -> None:
        job = seen.job
        try:
            pod = await self._client.create(PODS, pod_of(seen, index))
        except (StatusError, ConnectionError) as error:
            self._expectations.creation_observed(job["metadata"]["uid"])
            self._recorder.event(job, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._recorder.event(job, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

    async def _stop(self, job: Obj, pod: Obj) -> None:
        """Deleted pods keep their finalizer until they are counted, so the expectation is met when they terminate."""
        uid = job["metadata"]["uid"]
        self._expectations.expect_deletions(uid, [pod["metadata"]["uid"]])
        try:
            there = await delete_exactly(self._client, PODS, pod)
        except (StatusError, ConnectionError) as error:
            self._expectations.deletion_observed(uid, pod["metadata"]["uid"])
            self._recorder.event(job, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        if there:
            self._recorder.event(job, "Normal", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
        else:
            self._expectations.deletion_observed(uid, pod["metadata"]["uid"])

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
