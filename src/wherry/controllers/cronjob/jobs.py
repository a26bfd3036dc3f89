"""The Jobs of a CronJob: how one is made, whether it has ended, which finished ones are too many. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from wherry.api.types import Obj
from wherry.controllers.cronjob.times import zone_of
from wherry.reconcile.ownership import controller_ref
from wherry.reconcile.pods import condition

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


def job_name(cronjob: Obj, moment: float) -> str:
    """The same for every try of one firing, so that it cannot make two Jobs."""
    return f"{cronjob['metadata']['name']}-{int(moment) // 60}"


def new_job(cronjob: Obj, moment: float) -> Obj:
    """The Job of the firing at `moment`."""
    template, metadata = cronjob["spec"]["jobTemplate"], cronjob["metadata"]
    own = template.get("metadata") or {}
    local = datetime.fromtimestamp(int(moment), zone_of(cronjob)).isoformat().replace("+00:00", "Z")
    made: Obj = {
        "name": job_name(cronjob, moment),
        "namespace": metadata["namespace"],
        "annotations": {**(own.get("annotations") or {}), SCHEDULED: local},
        "ownerReferences": [controller_ref(cronjob)],
    }
    if own.get("labels"):
        made["labels"] = own["labels"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": made, "spec": template["spec"]}


def reference(job: Obj) -> Obj:
    """How status.active names it."""
    metadata = job["metadata"]
    return {
        "kind": "Job",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": "batch/v1",
        "resourceVersion": metadata["resourceVersion"],
    }


def outcome(job: Obj) -> str:
    """ "Complete", "Failed", or "" while it runs."""
    for kind in ("Complete", "Failed"):
        found = condition(job, kind)
        if found is not None and found["status"] == "True":
            return kind
    return ""


def too_many(cronjob: Obj, jobs: Iterable[Obj]) -> list[Obj]:
    """Finished Jobs beyond the history limits, those that started first."""
    spec = cronjob["spec"]
    surplus: list[Obj] = []
    finished = sorted((job for job in jobs if outcome(job)), key=_started)
    for kind, key in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
        if spec.get(key) is not None:
            same = [job for job in finished if outcome(job) == kind]
            surplus += same[: max(len(same) - spec[key], 0)]
    return [job for job in surplus if "deletionTimestamp" not in job["metadata"]]


def _started(job: Obj) -> tuple[str, str]:
    return job.get("status", {}).get("startTime") or "9999", job["metadata"]["name"]
