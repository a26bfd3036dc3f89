"""The lives of Jobs and CronJobs, told as transcripts in `lives/`."""

from __future__ import annotations

import asyncio
from typing import Any

from transcript import Transcript, recorded
from world import World, pod_template, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import CRON_JOBS, JOBS, PODS
from wherry.api.types import Obj
from wherry.controllers import cronjob

MINUTE = 60.0


def a_template(**annotations: str) -> Obj:
    template = pod_template("work", **annotations)
    template["spec"]["restartPolicy"] = "Never"
    return template


def a_job(name: str, template: Obj, **spec: Any) -> Obj:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template, **spec}}


async def change(w: World, name: str, **spec: Any) -> None:
    await w.client.patch(JOBS, name, {"spec": spec}, "default", type="merge")


def columns() -> dict[str, tuple[str, ...]]:
    return {"pods": ("Status",), "jobs": ("Status", "Completions")}


def test_a_job() -> None:
    async def main() -> str:
        async with world() as w:
            told = Transcript(w, JOBS, PODS, columns=columns())
            template = a_template(run_seconds="20")
            await w.client.create(
                JOBS, a_job("sum", template, completions=3, parallelism=2, ttlSecondsAfterFinished=300)
            )
            await told.after("created: three times, two at a time", 10)
            await change(w, "sum", suspend=True)
            await told.after("suspended", 10)
            await change(w, "sum", suspend=False)
            await told.after("resumed", 10)
            await change(w, "sum", parallelism=3)
            await told.after("scaled to three at a time", 5)
            await told.after("a minute later", MINUTE)
            await told.after("five minutes later, by ttlSecondsAfterFinished", 5 * MINUTE)
            return told.text()

    assert run_virtual(main()) == recorded("job")


def test_a_job_that_fails() -> None:
    async def main() -> str:
        async with world() as w:
            told = Transcript(w, JOBS, PODS, columns=columns())
            template = a_template(run_seconds="1", exit_code="3")
            await w.client.create(JOBS, a_job("sum", template, backoffLimit=2))
            await told.after("created, and every try ends with 3", 5)
            await told.after("half a minute later", MINUTE / 2)
            await told.after("a minute later", MINUTE)
            await w.client.delete(JOBS, "sum", "default", propagation="Background")
            await told.after("deleted")
            return told.text()

    assert run_virtual(main()) == recorded("job-that-fails")


def test_an_indexed_job() -> None:
    async def main() -> str:
        async with world() as w:
            told = Transcript(w, JOBS, PODS, columns=columns())
            template = a_template(run_seconds="2", exit_code="42")
            rule = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}
            indexed = {"completionMode": "Indexed", "completions": 3, "parallelism": 3, "backoffLimitPerIndex": 1}
            await w.client.create(JOBS, a_job("sum", template, podFailurePolicy={"rules": [rule]}, **indexed))
            await told.after("created, and each index ends with 42, which fails it at once")
            return told.text()

    assert run_virtual(main()) == recorded("job-indexed")


def test_a_cron_job() -> None:
    async def main() -> str:
        async with world() as w:
            w.started.append(asyncio.create_task(w.add(cronjob).run()))
            shown = {"jobs": ("Status",), "cronjobs": ("Schedule", "Timezone", "Suspend", "Active")}
            told = Transcript(w, CRON_JOBS, JOBS, columns=shown)
            spec: Obj = {
                "schedule": "*/2 * * * *",
                "timeZone": "Europe/Berlin",
                "concurrencyPolicy": "Forbid",
                "successfulJobsHistoryLimit": 1,
                "jobTemplate": {"spec": {"template": a_template(run_seconds="150")}},
            }
            metadata = {"name": "tick", "namespace": "default"}
            cron = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}
            await asyncio.sleep(MINUTE - w.clock.time() % MINUTE + 1)
            await w.client.create(CRON_JOBS, cron)
            await told.after("created: every two minutes, never two at once, and each takes two and a half", 2 * MINUTE)
            await told.after("two minutes later", 2 * MINUTE)
            await told.after("two minutes later", 2 * MINUTE)
            await w.client.patch(CRON_JOBS, "tick", {"spec": {"suspend": True}}, "default", type="merge")
            await told.after("suspended", 10 * MINUTE)
            update = {"suspend": False, "schedule": "*/5 * * * *", "concurrencyPolicy": "Replace"}
            await w.client.patch(CRON_JOBS, "tick", {"spec": update}, "default", type="merge")
            await told.after("resumed, every five minutes, the new one replaces the old one", 10 * MINUTE)
            await w.client.delete(CRON_JOBS, "tick", "default", propagation="Background")
            await told.after("deleted")
            return told.text()

    assert run_virtual(main()) == recorded("cronjob")
