"""What a Job can be told about failure, success and replacement of its pods, as the pages on Jobs and their policies say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from test_jobs import a_job, over, reasons, status
from world import World, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import JOBS, PODS
from wherry.api.types import Obj
from wherry.reconcile.pods import is_finished

INDEX = "batch.kubernetes.io/job-completion-index"


def indexed(completions: int, **spec: Any) -> Obj:
    return a_job(completions=completions, parallelism=completions, completionMode="Indexed", **spec)


async def change(w: World, **spec: Any) -> None:
    await w.client.patch(JOBS, "seed", {"spec": spec}, "default", type="merge")


def types(status: Obj) -> list[str]:
    return [one["type"] for one in status["conditions"]]


@pytest.mark.parametrize(
    ("rule", "reason_index"),
    [({"succeededIndexes": "0"}, 0), ({"succeededCount": 1}, 0), ({"succeededIndexes": "0-2", "succeededCount": 1}, 0)],
)
def test_a_success_policy_ends_a_job_early(rule: Obj, reason_index: int) -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(JOBS, indexed(3, run=1000, successPolicy={"rules": [rule]}))
            await w.until(lambda: w.items(PODS))
            await asyncio.sleep(1)
            pod = next(one for one in await w.items(PODS) if one["metadata"]["annotations"][INDEX] == "0")
            await succeed(w, pod)
            await w.until(lambda: over(w, "Complete"))
            found = await status(w)
            assert types(found) == ["SuccessCriteriaMet", "Complete"]
            assert reasons(found) == {"SuccessCriteriaMet": "SuccessPolicy", "Complete": "SuccessPolicy"}
            assert found["conditions"][0]["message"] == f"Matched rules at index {reason_index}"
            assert (found["completedIndexes"], found["succeeded"]) == ("0", 1)
            assert found["terminating"] == 0
            assert all(is_finished(one) or "deletionTimestamp" in one["metadata"] for one in await w.items(PODS))

    run_virtual(main())


async def succeed(w: World, pod: Obj, code: int = 0) -> None:
    """Say that the pod has ended, whatever its script says."""
    ended = {"exitCode": code, "reason": "Completed", "finishedAt": "2023-11-14T22:20:00Z"}
    container = {"name": "main", "state": {"terminated": ended}, "ready": False, "restartCount": 0, "image": "i"}
    patch = {
        "status": {"phase": "Failed" if code else "Succeeded", "containerStatuses": [{**container, "imageID": ""}]}
    }
    name = pod["metadata"]["name"]
    await w.client.patch(PODS, name, patch, "default", type="strategic", subresource="status")


def test_too_many_failed_indexes_end_a_job() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(JOBS, indexed(4, code=1, backoffLimitPerIndex=0, maxFailedIndexes=1))
            await w.until(lambda: over(w, "Failed"), 120)
            found = await status(w)
            assert types(found) == ["FailureTarget", "Failed"]
            assert set(reasons(found).values()) == {"MaxFailedIndexesExceeded"}
            text = "Job has exceeded the specified maximal number of failed indexes"
            assert found["conditions"][1]["message"] == text
            assert (await w.reasons("seed"))[-1] == f"MaxFailedIndexesExceeded: {text}"

    run_virtual(main())


def test_an_index_that_fails_by_rule_is_not_tried_again() -> None:
    async def main() -> None:
        async with world() as w:
            rule = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}
            policy = {"rules": [rule]}
            await w.client.create(JOBS, indexed(2, code=42, backoffLimitPerIndex=5, podFailurePolicy=policy))
            await w.until(lambda: over(w, "Failed"), 120)
            found = await status(w)
            assert (found["failedIndexes"], found["failed"]) == ("0,1", 2)
            assert set(reasons(found).values()) == {"FailedIndexes"}

    run_virtual(main())


def test_failures_that_are_ignored_cost_no_try_of_the_index() -> None:
    async def main() -> None:
        async with world() as w:
            policy = {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}}]}
            await w.client.create(JOBS, indexed(1, code=7, backoffLimitPerIndex=0, podFailurePolicy=policy))
            await asyncio.sleep(65)
            found = await status(w)
            assert "conditions" not in found
            assert "failed" not in found
            newest = max(await w.items(PODS), key=lambda one: int(one["metadata"]["resourceVersion"]))
            annotations = newest["metadata"]["annotations"]
            assert annotations["batch.kubernetes.io/job-index-failure-count"] == "0"
            assert int(annotations["batch.kubernetes.io/job-index-ignored-failure-count"]) >= 2

    run_virtual(main())


def test_a_failure_policy_sees_evicted_pods_by_their_condition() -> None:
    async def main() -> None:
        async with world() as w:
            policy = {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            }
            await w.client.create(JOBS, a_job(run=20, backoffLimit=0, podFailurePolicy=policy))
            await w.until(lambda: w.items(PODS))
            await asyncio.sleep(5)
            (pod,) = await w.items(PODS)
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod["metadata"]["name"]}}
            await w.client.create(PODS, body, "default", "eviction", pod["metadata"]["name"])
            await w.until(lambda: over(w, "Complete"), 120)
            found = await status(w)
            assert (found["succeeded"], found.get("failed", 0)) == (1, 0)

    run_virtual(main())


@pytest.mark.parametrize("policy", ["TerminatingOrFailed", "Failed"])
def test_when_a_pod_that_goes_is_replaced(policy: str) -> None:
    async def main() -> int:
        async with world() as w:
            wanted = a_job(run=1000, podReplacementPolicy=policy)
            wanted["spec"]["template"]["metadata"]["annotations"]["test/stop-seconds"] = "20"
            await w.client.create(JOBS, wanted)
            await w.until(lambda: w.items(PODS))
            await asyncio.sleep(5)
            (pod,) = await w.items(PODS)
            await w.client.delete(PODS, pod["metadata"]["name"], "default")
            await asyncio.sleep(15)  # past the back-off of a failed pod, while this one still goes
            found = await status(w)
            assert found["terminating"] == 1
            return len(await w.items(PODS))

    assert run_virtual(main()) == (2 if policy == "TerminatingOrFailed" else 1)


def test_a_job_somebody_else_manages_is_left_alone() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(JOBS, a_job(managedBy="example.com/queue"))
            await asyncio.sleep(30)
            assert await status(w) == {}
            assert await w.items(PODS) == []

    run_virtual(main())


def test_an_indexed_job_grows_and_shrinks() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(JOBS, indexed(2, run=60))
            await asyncio.sleep(5)
            await change(w, completions=4, parallelism=4)
            await asyncio.sleep(5)
            assert {one["metadata"]["annotations"][INDEX] for one in await w.items(PODS)} == set("0123")
            await change(w, completions=1, parallelism=1)
            await w.until(lambda: over(w, "Complete"), 120)
            assert (await status(w))["completedIndexes"] == "0"

    run_virtual(main())


def test_a_pod_knows_its_index_and_its_name() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(JOBS, indexed(2, run=60))
            await w.until(lambda: w.items(PODS))
            await asyncio.sleep(1)
            pods = sorted(await w.items(PODS), key=lambda one: one["metadata"]["name"])
            assert [one["spec"]["hostname"] for one in pods] == ["seed-0", "seed-1"]
            assert [one["metadata"]["labels"][INDEX] for one in pods] == ["0", "1"]
            (env,) = pods[0]["spec"]["containers"][0]["env"]
            assert env["name"] == "JOB_COMPLETION_INDEX"
            assert env["valueFrom"]["fieldRef"]["fieldPath"] == f"metadata.labels['{INDEX}']"
            found = await status(w)
            assert (found["active"], found["ready"], found["terminating"]) == (2, 0, 0)

    run_virtual(main())


def test_suspension_stops_pods_and_the_clock_of_the_deadline() -> None:
    async def main() -> None:
        async with world() as w:
            await w.client.create(JOBS, a_job(run=50, activeDeadlineSeconds=60))
            await asyncio.sleep(40)
            await change(w, suspend=True)
            await asyncio.sleep(100)
            found = await status(w)
            assert "startTime" not in found
            assert [(one["type"], one["status"], one["reason"]) for one in found["conditions"]] == [
                ("Suspended", "True", "JobSuspended")
            ]
            await change(w, suspend=False)
            await w.until(lambda: over(w, "Complete"), 120)
            told = await w.reasons("seed")
            assert told.index("Suspended: Job suspended") < told.index("Resumed: Job resumed")

    run_virtual(main())
