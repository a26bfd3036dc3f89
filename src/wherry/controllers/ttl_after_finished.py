"""Deletes Jobs that asked to be deleted some time after they finish (spec.ttlSecondsAfterFinished)."""

from __future__ import annotations

from wherry.aio.clock import parse_rfc3339
from wherry.api.resources import JOBS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.reconcile.controller import Controller
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import condition
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly


def build(parts: Parts, *, workers: int = 5) -> Controller:
    """The controller, wired to the informer of Jobs."""
    queue: WorkQueue[Request] = WorkQueue("ttl-after-finished", parts.clock)
    jobs = parts.factory.informer(JOBS)

    def on_job(type: str, job: Obj, old: Obj | None) -> None:
        if type != "deleted" and expires_at(job) is not None:
            queue.add(Request.of(job))

    jobs.add_handler(on_job)
    return Controller("ttl-after-finished", TtlReconciler(parts, jobs), queue, workers=workers, sources=(jobs,))


def expires_at(job: Obj) -> float | None:
    """When the Job may be deleted, in Unix seconds; None while it runs, or if it never may."""
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    if ttl is None or "deletionTimestamp" in job["metadata"]:
        return None
    for kind in ("Complete", "Failed"):
        finished = condition(job, kind)
        if finished is not None and finished["status"] == "True":
            return parse_rfc3339(finished["lastTransitionTime"]) + int(ttl)
    return None


class TtlReconciler:
    def __init__(self, parts: Parts, jobs: Informer) -> None:
        self._client = parts.client
        self._jobs = jobs
        self._clock = parts.clock

    async def reconcile(self, request: Request) -> Result | None:
        job = self._jobs.get(request.name, request.namespace)
        expires = expires_at(job) if job is not None else None
        if job is None or expires is None:
            return None
        left = expires - self._clock.time()
        if left > 0:
            return Result(requeue_after=left)
        await delete_exactly(self._client, JOBS, job, propagation="Foreground")
        return None
