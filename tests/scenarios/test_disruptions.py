"""PodDisruptionBudgets and evictions: what the status says, what is refused, and that no race takes one pod too many."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from world import World, a_deployment, pod_template, world

from wherry.aio.virtual import run_virtual
from wherry.api.errors import StatusError
from wherry.api.resources import DEPLOYMENTS, JOBS, POD_DISRUPTION_BUDGETS, PODS
from wherry.api.types import Obj
from wherry.controllers import pod_disruption_budget
from wherry.reconcile.pods import is_ready


def a_budget(name: str = "web", **spec: Any) -> Obj:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
    }


async def start(w: World, replicas: int = 3, **annotations: str) -> None:
    w.started.append(asyncio.create_task(w.add(pod_disruption_budget, scheme=w.scheme).run()))
    if replicas:
        await w.client.create(DEPLOYMENTS, a_deployment(replicas=replicas, annotations=annotations))


async def budget(w: World, name: str = "web") -> Obj:
    return (await w.client.get(POD_DISRUPTION_BUDGETS, name, "default"))["status"]


async def numbers(w: World, *wanted: int) -> Obj:
    """Until allowed, healthy, desired and expected are these."""
    keys = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")

    async def done() -> Obj | None:
        found = await budget(w)
        return found if tuple(found.get(key) for key in keys) == wanted else None

    found: Obj = await w.until(done)
    return found


async def evict(w: World, name: str, **options: Any) -> StatusError | None:
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": "default"},
        **options,
    }
    try:
        await w.client.create(PODS, body, "default", "eviction", name)
    except StatusError as error:
        return error
    return None


async def names(w: World) -> list[str]:
    pods = await w.items(PODS)
    return [one["metadata"]["name"] for one in pods if is_ready(one) and "deletionTimestamp" not in one["metadata"]]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"minAvailable": 2}, (1, 3, 2, 3)),
        ({"minAvailable": "50%"}, (1, 3, 2, 3)),
        ({"minAvailable": "100%"}, (0, 3, 3, 3)),
        ({"maxUnavailable": 1}, (1, 3, 2, 3)),
        ({"maxUnavailable": "30%"}, (1, 3, 2, 3)),
        ({"maxUnavailable": 0}, (0, 3, 3, 3)),
    ],
)
def test_the_status_follows_the_pods(spec: Obj, wanted: tuple[int, ...]) -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(POD_DISRUPTION_BUDGETS, a_budget(**spec))
            found = await numbers(w, *wanted)
            (condition,) = found["conditions"]
            said = condition["type"], condition["status"], condition["reason"], condition["message"]
            sufficient = ("True", "SufficientPods") if wanted[0] else ("False", "InsufficientPods")
            assert said == ("DisruptionAllowed", *sufficient, "")
            assert found["observedGeneration"] == 1

    run_virtual(main())


def test_an_eviction_takes_one_out_of_the_budget_and_the_next_is_refused() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w, ready_seconds="5", stop_seconds="10")
            await w.client.create(POD_DISRUPTION_BUDGETS, a_budget(minAvailable=2))
            await numbers(w, 1, 3, 2, 3)
            first, second, _ = await names(w)
            assert await evict(w, first, deleteOptions={"dryRun": ["All"]}) is None
            assert (await budget(w))["disruptionsAllowed"] == 1
            assert await evict(w, first) is None
            said = await budget(w)
            assert (said["disruptionsAllowed"], list(said["disruptedPods"])) == (0, [first])
            assert [(one["status"], one["reason"]) for one in said["conditions"]] == [("False", "InsufficientPods")]
            gone = await w.client.get(PODS, first, "default")
            target = next(one for one in gone["status"]["conditions"] if one["type"] == "DisruptionTarget")
            assert (target["reason"], target["message"]) == ("EvictionByEvictionAPI", "Eviction API: evicting")
            error = await evict(w, second)
            assert error is not None
            assert (error.code, error.reason) == (429, "TooManyRequests")
            assert error.message == "Cannot evict pod as it would violate the pod's disruption budget."
            text = "The disruption budget web needs 2 healthy pods and has 2 currently"
            await numbers(w, 0, 2, 2, 4)  # with the replacement
            error = await evict(w, second)
            assert error is not None
            assert error.details == {"causes": [{"reason": "DisruptionBudget", "message": text}]}
            await numbers(w, 1, 3, 2, 3)  # its replacement serves
            assert await evict(w, second) is None

    run_virtual(main())


def test_pods_that_do_not_serve() -> None:
    """Pending ones go freely; running ones that are not ready as the policy says."""

    async def main(policy: str | None, healthy: int) -> bool:
        async with world() as w:
            await start(w, healthy)
            sick = pod_template("web", ready_seconds="1000000")
            one = {"apiVersion": "v1", "kind": "Pod", **sick}
            one["metadata"] |= {"name": "sick", "namespace": "default"}
            await w.client.create(PODS, one)
            spec = {"minAvailable": 2} | ({"unhealthyPodEvictionPolicy": policy} if policy else {})
            await w.client.create(POD_DISRUPTION_BUDGETS, a_budget(**spec))
            await numbers(w, max(healthy - 2, 0), healthy, 2, healthy + 1)
            await asyncio.sleep(2)
            return await evict(w, "sick") is None

    assert run_virtual(main(None, 2))  # the application is well
    assert not run_virtual(main("IfHealthyBudget", 1))  # it is not
    assert run_virtual(main("AlwaysAllow", 1))


def test_who_says_how_many_there_should_be() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w, 1)
            await w.client.create(POD_DISRUPTION_BUDGETS, a_budget(maxUnavailable=1))
            await numbers(w, 1, 1, 0, 1)
            template = pod_template("web", run_seconds="100000")
            template["spec"]["restartPolicy"] = "Never"
            metadata = {"name": "batch", "namespace": "default"}
            spec = {"template": template, "parallelism": 2, "completions": 2}
            await w.client.create(JOBS, {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})

            async def failed() -> Obj | None:
                found = (await budget(w)).get("conditions") or [{}]
                return found[0] if found[0].get("reason") == "SyncFailed" else None

            condition = await w.until(failed)
            assert condition["message"] == "jobs.batch does not implement the scale subresource"
            text = (
                "Failed to calculate the number of expected pods: jobs.batch does not implement the scale subresource"
            )
            assert f"CalculateExpectedPodCountFailed: {text}" in await w.reasons("web")
            error = await evict(w, (await names(w))[0])
            assert error is not None
            assert "because it failed sync: jobs.batch does not" in str(error.details)

    run_virtual(main())


def test_two_budgets_for_one_pod_and_none() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.rolled_out("web")
            one, two, three = await names(w)
            for number in "ab":
                await w.client.create(POD_DISRUPTION_BUDGETS, a_budget(number, maxUnavailable=1))
            error = await evict(w, one)
            assert error is not None
            assert error.code == 500
            assert "more than one PodDisruptionBudget" in error.message
            for number in "ab":
                await w.client.delete(POD_DISRUPTION_BUDGETS, number, "default")
            assert [await evict(w, name) for name in (one, two, three)] == [None] * 3

    run_virtual(main())


def test_announced_but_not_deleted_is_forgotten_after_two_minutes() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(POD_DISRUPTION_BUDGETS, a_budget(maxUnavailable=1))
            await numbers(w, 1, 3, 2, 3)
            name = (await names(w))[0]
            # Refused after the budget has said yes: the pod stays.
            assert await evict(w, name, deleteOptions={"preconditions": {"uid": "somebody-else"}}) is not None
            assert list((await budget(w))["disruptedPods"]) == [name]
            await numbers(w, 0, 2, 2, 3)
            await asyncio.sleep(125)
            assert "disruptedPods" not in await numbers(w, 1, 3, 2, 3)
            assert "NotDeleted: Pod was expected by PDB default/web to be deleted but it wasn't" in await w.reasons(
                name
            )

    run_virtual(main())


@pytest.mark.parametrize("seed", range(6))
def test_no_race_takes_one_pod_too_many(seed: int) -> None:
    """Ten clients evict whatever they see, the Deployment is scaled and updated meanwhile: two always serve."""
    rng = random.Random(seed)

    async def main() -> tuple[int, int]:
        async with world(seed) as w:
            await start(w, 5, start_seconds="0.3", ready_seconds=str(rng.choice([0.1, 1, 3])), stop_seconds="0.5")
            spec = rng.choice([{"minAvailable": 3}, {"maxUnavailable": 2}, {"maxUnavailable": "40%"}])
            await w.client.create(POD_DISRUPTION_BUDGETS, a_budget(**spec))
            await numbers(w, 2, 5, 3, 5)
            fewest, evicted = 5, 0
            pods = w.factory.informer(PODS)

            def look(type: str, pod: Obj, old: Obj | None) -> None:
                nonlocal fewest
                serving = [
                    one for one in pods.list("default") if is_ready(one) and "deletionTimestamp" not in one["metadata"]
                ]
                fewest = min(fewest, len(serving))

            pods.add_handler(look)

            async def evictor(number: int) -> None:
                nonlocal evicted
                own = random.Random(f"{seed}-{number}")
                for _ in range(20):
                    await asyncio.sleep(own.uniform(0, 0.4))
                    one = own.choice(pods.list("default"))
                    if one["status"].get("phase") == "Running" and await evict(w, one["metadata"]["name"]) is None:
                        evicted += 1

            await asyncio.gather(*(evictor(number) for number in range(10)))
            return fewest, evicted

    fewest, evicted = run_virtual(main())
    assert fewest >= 3
    assert evicted > 2
