"""Jobs through the whole control plane: completions, back-off, deadlines, indexes, suspension, counting."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from world import World, pod_template, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import JOBS, PODS
from wherry.api.types import Obj


def a_job(run: float = 1, code: int = 0, **spec: Any) -> Obj:
    template = pod_template("seed", run_seconds=str(run), exit_code=str(code))
    template["spec"]["restartPolicy"] = spec.pop("restartPolicy", "Never")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "seed", "namespace": "default"},
        "spec": {"template": template, **spec},
    }


async def over(w: World, kind: str) -> bool:
    job = await w.client.get(JOBS, "seed", "default")
    return any(c["type"] == kind and c["status"] == "True" for c in job.get("status", {}).get("conditions", ()))


async def status(w: World) -> Obj:
    return (await w.client.get(JOBS, "seed", "default")).get("status", {})


def reasons(status: Obj) -> dict[str, str]:
    return {one["type"]: one["reason"] for one in status["conditions"]}


def test_a_job_completes() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(JOBS, a_job())
            await w.until(lambda: over(w, "Complete"))
            found = await status(w)
            assert found["succeeded"] == 1
            assert reasons(found) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
            assert found["completionTime"] >= found["startTime"]
            (pod,) = await w.items(PODS)
            assert not pod["metadata"].get("finalizers")
            assert (await w.reasons("seed"))[-1] == "Completed: Job completed"

    run_virtual(main())


def test_parallelism_is_a_bound_and_completions_are_counted() -> None:
    async def main() -> None:
        async with world() as w:
            most = 0

            def look(type: str, pod: Obj, old: Obj | None) -> None:
                nonlocal most
                running = [p for p in w.factory.informer(PODS).list("default") if p["status"].get("phase") == "Running"]
                most = max(most, len(running))

            w.factory.informer(PODS).add_handler(look)
            await w.client.create(JOBS, a_job(completions=7, parallelism=3))
            await w.until(lambda: over(w, "Complete"))
            assert (await status(w))["succeeded"] == 7
            assert most == 3
            assert len(await w.items(PODS)) == 7

    run_virtual(main())


def test_failures_back_off_and_end_the_job() -> None:
    async def main() -> None:
        async with world() as w:
            created: list[float] = []

            def look(type: str, pod: Obj, old: Obj | None) -> None:
                if type == "added":
                    created.append(asyncio.get_running_loop().time())

            w.factory.informer(PODS).add_handler(look)
            await w.client.create(JOBS, a_job(code=1, backoffLimit=3))
            await w.until(lambda: over(w, "Failed"), 600)
            found = await status(w)
            assert found["failed"] == 4
            assert reasons(found)["Failed"] == "BackoffLimitExceeded"
            pauses = [later - earlier for earlier, later in itertools.pairwise(created)]
            # 10, 20, 40 s after the end of a pod that ran one second; times on the wire are whole seconds.
            assert [round(pause / 10) for pause in pauses] == [1, 2, 4]
            expected = "BackoffLimitExceeded: Job has reached the specified backoff limit"
            assert (await w.reasons("seed"))[-1] == expected

    run_virtual(main())


def test_a_deadline_stops_what_runs() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(JOBS, a_job(run=1000, activeDeadlineSeconds=30, parallelism=2, completions=2))
            await asyncio.sleep(29)
            assert (await status(w))["active"] == 2
            await w.until(lambda: over(w, "Failed"), 10)
            assert reasons(await status(w))["Failed"] == "DeadlineExceeded"
            await asyncio.sleep(5)
            assert not await w.items(PODS)

    run_virtual(main())


def test_indexed_completion() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(JOBS, a_job(completions=4, parallelism=2, completionMode="Indexed"))
            await w.until(lambda: over(w, "Complete"))
            found = await status(w)
            assert found["completedIndexes"] == "0-3"
            assert found["succeeded"] == 4
            pods = await w.items(PODS)
            key = "batch.kubernetes.io/job-completion-index"
            assert sorted(pod["metadata"]["annotations"][key] for pod in pods) == ["0", "1", "2", "3"]
            one = next(pod for pod in pods if pod["metadata"]["annotations"][key] == "2")
            assert one["spec"]["hostname"] == "seed-2"
            assert one["metadata"]["name"].startswith("seed-2-")
            assert one["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"

    run_virtual(main())


def test_suspend_and_resume() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(JOBS, a_job(run=100, suspend=True))
            await asyncio.sleep(5)
            assert not await w.items(PODS)
            assert "startTime" not in await status(w)
            await w.client.patch(JOBS, "seed", {"spec": {"suspend": False}}, "default")
            await asyncio.sleep(5)
            assert len(await w.items(PODS)) == 1
            await w.client.patch(JOBS, "seed", {"spec": {"suspend": True}}, "default")
            await asyncio.sleep(5)
            assert not await w.items(PODS)
            assert "failed" not in await status(w)
            await w.client.patch(JOBS, "seed", {"spec": {"suspend": False}}, "default")
            await w.until(lambda: over(w, "Complete"), 200)
            assert "failed" not in await status(w)

    run_virtual(main())


def test_finished_jobs_go_after_their_ttl() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(JOBS, a_job(ttlSecondsAfterFinished=100))
            await w.until(lambda: over(w, "Complete"))
            await asyncio.sleep(95)
            assert await w.get(JOBS, "seed") is not None
            await asyncio.sleep(10)
            assert await w.get(JOBS, "seed") is None
            assert not await w.items(PODS)

    run_virtual(main())


def test_deleting_a_job_leaves_no_pod_held() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(JOBS, a_job(run=1000, parallelism=3, completions=3))
            await asyncio.sleep(2)
            await w.client.delete(JOBS, "seed", "default", propagation="Background")
            await asyncio.sleep(5)
            assert not await w.items(PODS)

    run_virtual(main())


def test_a_failure_policy_can_ignore_or_end() -> None:
    async def main() -> None:
        async with world() as w:
            rules = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]
            await w.client.create(JOBS, a_job(code=42, podFailurePolicy={"rules": rules}))
            await w.until(lambda: over(w, "Failed"))
            found = await status(w)
            assert reasons(found)["Failed"] == "PodFailurePolicy"
            message = next(c["message"] for c in found["conditions"] if c["type"] == "Failed")
            assert message.startswith("Container main for pod default/seed-")
            assert message.endswith("failed with exit code 42 matching FailJob rule at index 0")

    run_virtual(main())


def test_indexes_fail_on_their_own() -> None:
    async def main() -> None:
        async with world() as w:
            job = a_job(code=1, completions=2, parallelism=2, completionMode="Indexed", backoffLimitPerIndex=1)
            await w.client.create(JOBS, job)
            await w.until(lambda: over(w, "Failed"), 300)
            found = await status(w)
            assert reasons(found)["Failed"] == "FailedIndexes"
            assert found["failedIndexes"] == "0,1"
            assert found["failed"] == 4

    run_virtual(main())


@pytest.mark.parametrize("seed", range(4))
def test_pods_are_counted_once_even_if_the_controller_starts_anew(seed: int) -> None:
    async def main() -> None:
        async with world(seed) as w:
            from wherry.controllers import job as job_controller

            await w.client.create(JOBS, a_job(run=0.5, completions=12, parallelism=4))
            for _ in range(6):
                await asyncio.sleep(w.rng.uniform(0.1, 0.9))
                # A second controller that knows nothing of the first: what a restart, or a stale leader, is.
                second = w.add(job_controller)
                task = asyncio.create_task(second.run())
                await asyncio.sleep(w.rng.uniform(0.1, 0.5))
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await w.until(lambda: over(w, "Complete"))
            found = await status(w)
            assert found["succeeded"] >= 12
            finished = [pod for pod in await w.items(PODS) if pod["status"]["phase"] == "Succeeded"]
            assert found["succeeded"] == len(finished)

    run_virtual(main())
