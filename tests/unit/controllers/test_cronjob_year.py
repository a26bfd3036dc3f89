"""A CronJob through a whole year in virtual time, and what is due after long silence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from wherry.aio.clock import rfc3339
from wherry.api import cron
from wherry.api.types import Obj
from wherry.controllers.cronjob.jobs import new_job
from wherry.controllers.cronjob.plan import plan, started
from wherry.controllers.cronjob.times import due

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def a_cron_job(schedule: str, **spec: Any) -> Obj:
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "report", "namespace": "default"},
        "spec": {"schedule": schedule, "jobTemplate": {"spec": {}}, "successfulJobsHistoryLimit": 3, **spec},
    }


def test_a_year_in_another_time_zone() -> None:
    """Half past nine on working days in New York, through both changes of the clock; each Job takes ten minutes."""
    one = a_cron_job("30 9 * * mon-fri", timeZone="America/New_York")
    one["metadata"] |= {"uid": "u", "creationTimestamp": rfc3339(NEW_YEAR)}
    jobs: list[Obj] = []
    made: list[str] = []
    now = NEW_YEAR
    while now < NEW_YEAR + 365 * 86400:
        todo = plan(one, jobs, (), now)
        jobs = [job for job in jobs if job not in todo.delete]
        status: Obj = {"active": todo.active, "lastSuccessfulTime": todo.last_success}
        if todo.start is not None:
            assert todo.start == now
            job = new_job(one, todo.start)
            job["metadata"] |= {"uid": job["metadata"]["name"], "resourceVersion": "1"}
            made.append(job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"])
            status = {"active": started(todo, job), "lastScheduleTime": rfc3339(todo.start)}
            done = rfc3339(now + 600)
            conditions = [{"type": "Complete", "status": "True"}]
            job["status"] = {"conditions": conditions, "startTime": rfc3339(now), "completionTime": done}
            jobs.append(job)
        one = {**one, "status": {**one.get("status", {}), **status}}
        assert todo.next_firing is not None
        now = todo.next_firing
    assert len(made) == 261  # working days of 2026
    assert {stamp[11:19] for stamp in made} == {"09:30:00"}
    assert {stamp[19:] for stamp in made} == {"-05:00", "-04:00"}
    assert len(jobs) == 4  # three, and the one whose end is not looked at yet


@pytest.mark.parametrize(
    ("schedule", "silence", "latest", "missed"),
    [
        ("* * * * *", 30, None, 0),
        ("* * * * *", 60, 60, 1),
        ("* * * * *", 3600, 3600, 60),
        ("* * * * *", 86400 * 30, 86400 * 30, 43200),
        ("0 0 1 * *", 86400 * 62, 86400 * 59, 2),
        ("0-5 0 1 * *", 86400 * 62, 86400 * 59 + 300, 89280),  # judged by the first gap, as Kubernetes does
    ],
)
def test_what_is_due_after_silence(schedule: str, silence: float, latest: float | None, missed: int) -> None:
    metadata = {"name": "report", "namespace": "default", "creationTimestamp": rfc3339(NEW_YEAR)}
    one = {**a_cron_job(schedule), "metadata": metadata}
    found = due(one, cron.parse(schedule, UTC), NEW_YEAR + silence)
    assert found.moment == (None if latest is None else NEW_YEAR + latest)
    assert found.missed == missed


def test_the_starting_deadline_bounds_what_counts_as_missed() -> None:
    metadata = {"name": "report", "namespace": "default", "creationTimestamp": rfc3339(NEW_YEAR)}
    one = {**a_cron_job("* * * * *", startingDeadlineSeconds=200), "metadata": metadata}
    found = due(one, cron.parse("* * * * *", UTC), NEW_YEAR + 86400 + 30)
    assert (found.moment, found.missed) == (NEW_YEAR + 86400, 3)
