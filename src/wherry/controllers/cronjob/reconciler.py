"""Performs a CronJob's plan. A Job's name says which firing it is for, so whatever is tried twice is made once."""

from __future__ import annotations

from wherry.aio.clock import rfc3339
from wherry.api.errors import StatusError, is_already_exists, is_not_found, namespace_is_ending
from wherry.api.resources import CRON_JOBS, JOBS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.controllers.cronjob.jobs import job_name, new_job, outcome
from wherry.controllers.cronjob.plan import Plan, plan, started
from wherry.reconcile.controller import Controller
from wherry.reconcile.ownership import OWNER_INDEX, controller_of, controller_uid, index_by_owner
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly

LOOK_SECONDS_MAX = 600.0
"""Timers run on a clock that stands still while the machine sleeps: the wall is asked again this often."""


def build(parts: Parts, *, look_seconds: float = LOOK_SECONDS_MAX, workers: int = 5) -> Controller:
    """The controller, wired to the informers of CronJobs and Jobs. `look_seconds`: at the latest after which the wall is asked
    again."""
    queue: WorkQueue[Request] = WorkQueue("cronjob", parts.clock)
    cronjobs, jobs = parts.factory.informer(CRON_JOBS), parts.factory.informer(JOBS)
    index_by_owner(jobs)
    reconciler = CronJobReconciler(parts, cronjobs, jobs, queue, look_seconds)
    cronjobs.add_handler(reconciler.on_cronjob)
    jobs.add_handler(reconciler.on_job)
    return Controller("cronjob", reconciler, queue, workers=workers, sources=(cronjobs, jobs))


class CronJobReconciler:
    def __init__(
        self, parts: Parts, cronjobs: Informer, jobs: Informer, queue: WorkQueue[Request], look_seconds: float
    ) -> None:
        self._client = parts.client
        self._cronjobs = cronjobs
        self._jobs = jobs
        self._recorder = parts.recorder
        self._clock = parts.clock
        self._queue = queue
        self._look_seconds = look_seconds
        self._written: dict[str, int] = {}
        """uid -> resourceVersion of our last status, which the informer may not show yet."""

    def on_cronjob(self, type: str, cronjob: Obj, old: Obj | None) -> None:
        if type == "deleted":
            self._written.pop(cronjob["metadata"]["uid"], None)
        self._queue.add(Request.of(cronjob))

    def on_job(self, type: str, job: Obj, old: Obj | None) -> None:
        ref = controller_of(job)
        if ref is not None and ref["kind"] == "CronJob":
            self._queue.add(Request(job["metadata"]["namespace"], ref["name"]))

    async def reconcile(self, request: Request) -> Result | None:
        cronjob = self._cronjobs.get(request.name, request.namespace)
        if cronjob is None:
            return None
        uid = cronjob["metadata"]["uid"]
        if int(cronjob["metadata"]["resourceVersion"]) < self._written.get(uid, 0):
            return None  # the arrival of our own status is the next look
        jobs = self._jobs.by_index(OWNER_INDEX, uid)
        missing = await self._missing(cronjob, {job["metadata"]["uid"] for job in jobs})
        todo = plan(cronjob, jobs, missing, self._clock.time())
        for kind, reason, message in todo.events:
            self._recorder.event(cronjob, "Warning" if kind == "Warning" else "Normal", reason, message)
        for job in todo.delete:
            await self._delete(cronjob, job)
        last = cronjob.get("status", {}).get("lastScheduleTime")
        if todo.start is not None:
            made = await self._start(cronjob, todo, todo.start)
            if made is not None:
                last = rfc3339(todo.start)
                todo.active = todo.active if outcome(made) else started(todo, made)
        await self._write(cronjob, todo, last)
        if todo.next_firing is None:
            return None
        left = max(todo.next_firing - self._clock.time(), 0.001)
        return Result(requeue_after=min(left, self._look_seconds))

    async def _missing(self, cronjob: Obj, there: set[str]) -> set[str]:
        """Of the active Jobs the informer does not show, those the API does not know either."""
        gone: set[str] = set()
        for one in cronjob.get("status", {}).get("active") or ():
            if one["uid"] not in there:
                live = await self._get(one["namespace"], one["name"])
                if live is None or live["metadata"]["uid"] != one["uid"]:
                    gone.add(one["uid"])
        return gone

    async def _start(self, cronjob: Obj, todo: Plan, moment: float) -> Obj | None:
        """The Job of that firing, made now or by an earlier try; None if a stranger has its name."""
        for one in todo.replace:
            job = await self._get(one["namespace"], one["name"])
            if job is not None and job["metadata"]["uid"] == one["uid"]:
                await self._delete(cronjob, job)
        metadata, name = cronjob["metadata"], job_name(cronjob, moment)
        try:
            made = await self._client.create(JOBS, new_job(cronjob, moment))
        except (StatusError, ConnectionError) as error:
            if not is_already_exists(error):
                if not namespace_is_ending(error):
                    self._recorder.event(cronjob, "Warning", "FailedCreate", f"Error creating job: {error}")
                raise
        else:
            self._recorder.event(cronjob, "Normal", "SuccessfulCreate", f"Created job {name}")
            return made
        found = await self._get(metadata["namespace"], name)
        if found is None or controller_uid(found) == metadata["uid"]:
            return found
        text = f'Error creating job: jobs.batch "{name}" already exists and belongs to somebody else'
        self._recorder.event(cronjob, "Warning", "FailedCreate", text)
        return None

    async def _delete(self, cronjob: Obj, job: Obj) -> None:
        try:
            await delete_exactly(self._client, JOBS, job, propagation="Background")
        except StatusError as error:
            self._recorder.event(cronjob, "Warning", "FailedDelete", f"Deleted job: {error}")
            raise
        self._recorder.event(cronjob, "Normal", "SuccessfulDelete", f"Deleted job {job['metadata']['name']}")

    async def _get(self, namespace: str, name: str) -> Obj | None:
        try:
            return await self._client.get(JOBS, name, namespace)
        except StatusError as error:
            if is_not_found(error):
                return None
            raise

    async def _write(self, cronjob: Obj, todo: Plan, last: str | None) -> None:
        """A conflict means that somebody changed the CronJob: decide again on what it is now."""
        status: Obj = {}
        if todo.active:
            status["active"] = todo.active
        if last:
            status["lastScheduleTime"] = last
        if todo.last_success:
            status["lastSuccessfulTime"] = todo.last_success
        if status == cronjob.get("status", {}):
            return
        try:
            stored = await self._client.update(CRON_JOBS, {**cronjob, "status": status}, subresource="status")
        except StatusError as error:
            if is_not_found(error):
                return
            raise
        self._written[cronjob["metadata"]["uid"]] = int(stored["metadata"]["resourceVersion"])
