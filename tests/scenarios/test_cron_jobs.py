"""The life of a CronJob: it fires, overlaps, is suspended, misses starts and keeps a history."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from world import World, pod_template, world

from wherry.aio.clock import parse_rfc3339
from wherry.aio.virtual import run_virtual
from wherry.api.resources import CRON_JOBS, JOBS, PODS
from wherry.api.types import Obj
from wherry.controllers import cronjob


def a_cron_job(schedule: str = "* * * * *", run: float = 1, code: int = 0, **spec: Any) -> Obj:
    template = pod_template("report", run_seconds=str(run), exit_code=str(code))
    template["spec"]["restartPolicy"] = "Never"
    job_template = {
        "metadata": {"labels": {"made": "by-cron"}, "annotations": {"why": "report"}},
        "spec": {"template": template, "backoffLimit": 0},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "report", "namespace": "default"},
        "spec": {"schedule": schedule, "jobTemplate": job_template, **spec},
    }


async def start(w: World) -> None:
    w.started.append(asyncio.create_task(w.add(cronjob).run()))


async def jobs(w: World) -> list[Obj]:
    return sorted(await w.items(JOBS), key=lambda one: one["metadata"]["name"])


async def status(w: World) -> Obj:
    return (await w.client.get(CRON_JOBS, "report", "default")).get("status", {})


async def to_second(w: World, second: float) -> None:
    """Until so many seconds of a minute have passed."""
    await asyncio.sleep((second - w.clock.time()) % 60)


async def change(w: World, **spec: Any) -> None:
    await w.client.patch(CRON_JOBS, "report", {"spec": spec}, "default", type="merge")


def test_it_fires_every_minute_and_keeps_a_history() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await to_second(w, 30)
            await w.client.create(CRON_JOBS, a_cron_job(successfulJobsHistoryLimit=2))
            await to_second(w, 59)
            assert await jobs(w) == []
            await to_second(w, 0.5)
            (first,) = await jobs(w)
            fired = parse_rfc3339((await status(w))["lastScheduleTime"])
            assert fired % 60 == 0
            assert first["metadata"]["name"] == f"report-{int(fired) // 60}"
            assert first["metadata"]["labels"]["made"] == "by-cron"
            stamp = datetime.fromtimestamp(fired, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            annotations = first["metadata"]["annotations"]
            assert annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"] == stamp
            assert annotations["why"] == "report"
            (active,) = (await status(w))["active"]
            assert (active["kind"], active["name"]) == ("Job", first["metadata"]["name"])
            await to_second(w, 10)
            found = await status(w)
            assert "active" not in found
            assert found["lastSuccessfulTime"] >= found["lastScheduleTime"]
            await asyncio.sleep(5 * 60)
            assert len(await jobs(w)) == 2
            told = await w.reasons("report")
            name = first["metadata"]["name"]
            assert told[:2] == [
                f"SuccessfulCreate: Created job {name}",
                f"SawCompletedJob: Saw completed job: {name}, condition: Complete",
            ]
            assert f"SuccessfulDelete: Deleted job {name}" in told

    run_virtual(main())


def test_failures_have_a_history_of_their_own() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(CRON_JOBS, a_cron_job(code=1))
            await asyncio.sleep(5 * 60)
            (kept,) = [one for one in await jobs(w) if "active" not in one["status"]]
            assert kept["status"]["failed"] == 1
            assert "lastSuccessfulTime" not in await status(w)
            assert any(one.endswith("condition: Failed") for one in await w.reasons("report"))

    run_virtual(main())


def test_allow_forbid_and_replace() -> None:
    async def main(policy: str) -> tuple[int, int, list[str]]:
        async with world() as w:
            await start(w)
            await to_second(w, 30)
            await w.client.create(CRON_JOBS, a_cron_job(run=200, concurrencyPolicy=policy))
            await asyncio.sleep(3 * 60)
            all_jobs = await jobs(w)
            running = [one for one in all_jobs if one["status"].get("active")]
            return len(all_jobs), len(running), await w.reasons("report")

    assert run_virtual(main("Allow"))[:2] == (3, 3)
    number, running, told = run_virtual(main("Forbid"))
    assert (number, running) == (1, 1)
    text = "Not starting job because prior execution is running and concurrency policy is Forbid"
    assert told[-1] == f"JobAlreadyActive: {text}"
    number, running, told = run_virtual(main("Replace"))
    assert (number, running) == (1, 1)
    assert [one.split(":")[0] for one in told] == ["SuccessfulCreate"] + ["SuccessfulDelete", "SuccessfulCreate"] * 2


def test_forbid_starts_late_when_the_way_is_free_unless_the_deadline_is_over() -> None:
    async def main(deadline: int | None) -> int:
        async with world() as w:
            await start(w)
            await to_second(w, 30)
            wanted = a_cron_job("*/2 * * * *", run=150, concurrencyPolicy="Forbid")
            if deadline is not None:
                wanted["spec"]["startingDeadlineSeconds"] = deadline
            await w.client.create(CRON_JOBS, wanted)
            await w.until(lambda: w.items(JOBS), 200)
            await asyncio.sleep(155)
            return len(await jobs(w))

    assert run_virtual(main(None)) == 2
    assert run_virtual(main(5)) == 1


def test_suspended_and_resumed_only_the_latest_missed_start_is_made_up() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(CRON_JOBS, a_cron_job(suspend=True))
            await to_second(w, 30)
            await asyncio.sleep(5 * 60)
            assert await jobs(w) == []
            await change(w, suspend=False)
            await asyncio.sleep(5)
            (made,) = await jobs(w)
            assert made["metadata"]["name"] == f"report-{int(w.clock.time()) // 60}"
            assert not any("TooMany" in one for one in await w.reasons("report"))
            await change(w, suspend=True)
            await asyncio.sleep(101 * 60)
            await change(w, suspend=False)
            await asyncio.sleep(5)
            assert len(await jobs(w)) == 2
            text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            assert f"TooManyMissedTimes: {text}" in await w.reasons("report")

    run_virtual(main())


def test_a_missed_deadline_is_not_made_up() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await to_second(w, 10)
            await w.client.create(CRON_JOBS, a_cron_job(suspend=True, startingDeadlineSeconds=10))
            await asyncio.sleep(3 * 60 + 30)
            await change(w, suspend=False)
            await asyncio.sleep(5)
            assert await jobs(w) == []
            await to_second(w, 1)
            assert len(await jobs(w)) == 1

    run_virtual(main())


def test_a_job_that_is_deleted_by_hand_is_forgotten() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(CRON_JOBS, a_cron_job("*/5 * * * *", run=100000))
            await asyncio.sleep(300)
            (made,) = await jobs(w)
            await w.client.delete(JOBS, made["metadata"]["name"], "default", propagation="Background")

            async def forgotten() -> bool:
                return "active" not in await status(w)

            await w.until(forgotten)
            assert f"MissingJob: Active job went missing: {made['metadata']['name']}" in await w.reasons("report")

    run_virtual(main())


def test_deleted_with_its_jobs_and_their_pods() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(CRON_JOBS, a_cron_job(run=100000))
            await w.until(lambda: w.items(PODS), 100)
            await w.client.delete(CRON_JOBS, "report", "default", propagation="Background")

            async def gone() -> bool:
                return not await w.items(JOBS) and not await w.items(PODS)

            await w.until(gone)

    run_virtual(main())


@pytest.mark.parametrize("seed", range(4))
def test_each_firing_makes_one_job_even_if_the_controller_starts_anew(seed: int) -> None:
    """It is stopped wherever it is, between making a Job and saying so, too."""

    async def main() -> None:
        async with world(seed) as w:
            chance = random.Random(seed)
            await to_second(w, 1)
            begin = int(w.clock.time()) // 60
            limits = {"successfulJobsHistoryLimit": 100, "startingDeadlineSeconds": 50}
            await w.client.create(CRON_JOBS, a_cron_job(run=5, **limits))
            made: list[str] = []

            def look(type: str, one: Obj, old: Obj | None) -> None:
                if type == "added":
                    made.append(one["metadata"]["name"])

            w.factory.informer(JOBS).add_handler(look)
            for _ in range(60):
                running = asyncio.create_task(w.add(cronjob).run())
                # At the firing itself, a few steps of the loop later, or anywhere.
                await asyncio.sleep(chance.choice([60 - w.clock.time() % 60, chance.uniform(0, 20)]))
                for _ in range(chance.randrange(40)):
                    await asyncio.sleep(0)
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            await start(w)
            await asyncio.sleep(61)
            await to_second(w, 30)
            end = int(w.clock.time()) // 60
            assert sorted(made) == [f"report-{minute}" for minute in range(begin + 1, end + 1)]
            assert "active" not in await status(w)

    run_virtual(main())
