"""Nodes that only pretend, under the real controllers and scheduler, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from world import World, a_deployment, pod_template, world

from wherry.aio.virtual import run_virtual
from wherry.api.errors import StatusError
from wherry.api.resources import DEPLOYMENTS, JOBS, LEASES, NODES, PODS
from wherry.api.types import Obj
from wherry.apiserver.auth.user import MASTERS, User
from wherry.apiserver.filters.request_info import parse_query
from wherry.apiserver.http import Request, Response, Stream
from wherry.controllers import node_lifecycle
from wherry.kubelet.simulated.script import PREFIX
from wherry.kubelet.simulated.simulation import POD_RANGE, Simulation
from wherry.network.ipam import PodAddresses


@asynccontextmanager
async def simulated(
    nodes: int, seed: int = 1, cut_off: Callable[[str], bool] = lambda name: False
) -> AsyncIterator[tuple[World, Simulation]]:
    async with world(seed, nodes=0) as here:
        lifecycle = here.add(node_lifecycle)
        addresses = PodAddresses(POD_RANGE)
        simulation = Simulation(
            nodes,
            "1.36",
            here.client,
            here.factory,
            here.recorder,
            addresses,
            here.clock,
            here.rng,
            cut_off=cut_off,
        )
        here.started += [asyncio.create_task(lifecycle.run()), asyncio.create_task(simulation.run())]
        yield here, simulation


def scripted(obj: Obj, **script: str) -> Obj:
    """A workload whose pods follow this script."""
    annotations = {f"{PREFIX}{key.replace('_', '-')}": value for key, value in script.items()}
    template = obj["spec"]["template"]
    template["metadata"] = {**template["metadata"], "annotations": annotations}
    return obj


async def statuses(here: World) -> list[Any]:
    return [pod["status"] for pod in await here.items(PODS)]


def test_a_workload_spreads_over_nodes_that_pretend() -> None:
    async def main() -> None:
        async with simulated(3) as (here, _):
            await here.client.create(DEPLOYMENTS, scripted(a_deployment(replicas=30), ready_after="5s"))
            await here.rolled_out("web")
            pods = await here.items(PODS)
            placed = [pod["spec"]["nodeName"] for pod in pods]
            assert sorted(Counter(placed).items()) == [(f"simulated-{number}", 10) for number in range(3)]
            assert len({pod["status"]["podIP"] for pod in pods}) == 30
            nodes = {node["metadata"]["name"]: node for node in await here.items(NODES, None)}
            zones = [nodes[name]["metadata"]["labels"]["topology.kubernetes.io/zone"] for name in sorted(nodes)]
            assert zones == ["simulated-a", "simulated-b", "simulated-c"]
            await here.client.delete(DEPLOYMENTS, "web", "default", propagation="Foreground")
            await here.until(lambda: _none(here, PODS))

    run_virtual(main())


async def _none(here: World, gvr: Any) -> bool:
    return not await here.items(gvr)


def test_a_job_ends_by_itself_and_a_crash_is_counted() -> None:
    async def main() -> None:
        async with simulated(1) as (here, _):
            template = pod_template("job")
            template["spec"]["restartPolicy"] = "Never"
            job = {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": "sum", "namespace": "default"},
                "spec": {"completions": 2, "template": template},
            }
            await here.client.create(JOBS, scripted(job, run_for="20s"))
            begun = here.clock.time()

            async def complete() -> bool:
                return (await here.client.get(JOBS, "sum", "default"))["status"].get("succeeded") == 2

            await here.until(complete, 120)
            assert 40 <= here.clock.time() - begun < 45  # one after the other
            crashing = scripted(a_deployment("crash", 1), run_for="5s", exit_code="1")
            await here.client.create(DEPLOYMENTS, crashing)
            await asyncio.sleep(60)
            (status,) = [one for one in await statuses(here) if one["phase"] == "Running"]
            assert status["containerStatuses"][0]["restartCount"] == 3

    run_virtual(main())


def test_a_script_nobody_can_follow_is_said() -> None:
    async def main() -> None:
        async with simulated(1) as (here, _):
            await here.client.create(DEPLOYMENTS, scripted(a_deployment(replicas=1), ready_after="soon"))
            await asyncio.sleep(1)
            (status,) = await statuses(here)
            waiting = status["containerStatuses"][0]["state"]["waiting"]
            assert waiting["reason"] == "InvalidSimulation"
            assert waiting["message"].startswith("annotation simulation.wherry.dev/ready-after: 'soon': must be a")
            (name,) = [pod["metadata"]["name"] for pod in await here.items(PODS)]
            assert any(each.startswith("InvalidSimulation: annotation") for each in await here.reasons(name))
            await here.client.delete(PODS, name, "default")

            async def replaced() -> bool:
                return name not in [pod["metadata"]["name"] for pod in await here.items(PODS)]

            await here.until(replaced)

    run_virtual(main())


async def annotated(here: World, off: bool) -> None:
    cut = {"metadata": {"annotations": {f"{PREFIX}heartbeat": "off" if off else None}}}
    await here.client.patch(NODES, "simulated-0", cut)


@pytest.mark.parametrize("by", ["annotation", "fault"])
def test_a_node_without_a_heartbeat_loses_its_pods_and_comes_back(by: str) -> None:
    cut_off: set[str] = set()

    async def struck(here: World, off: bool) -> None:
        (cut_off.add if off else cut_off.discard)("simulated-0")

    silence: Callable[[World, bool], Awaitable[None]] = {"annotation": annotated, "fault": struck}[by]

    async def main() -> None:
        async with simulated(2, cut_off=cut_off.__contains__) as (here, _):
            await here.client.create(DEPLOYMENTS, a_deployment(replicas=20))
            await here.rolled_out("web")
            await silence(here, True)
            node_of = lambda pod: pod["spec"].get("nodeName")  # noqa: E731

            async def moved() -> bool:
                pods = [pod for pod in await here.items(PODS) if "deletionTimestamp" not in pod["metadata"]]
                ready = [pod for pod in pods if pod["status"].get("phase") == "Running"]
                return len(ready) == 20 and {node_of(pod) for pod in ready} == {"simulated-1"}

            await here.until(moved, 600)
            stuck = [pod for pod in await here.items(PODS) if node_of(pod) == "simulated-0"]
            assert stuck  # nobody confirms their end while the node is cut off
            assert all("deletionTimestamp" in pod["metadata"] for pod in stuck)
            await silence(here, False)

            async def recovered() -> bool:
                node = await here.client.get(NODES, "simulated-0")
                ready = next(each for each in node["status"]["conditions"] if each["type"] == "Ready")
                return ready["status"] == "True" and all(
                    node_of(pod) != "simulated-0" for pod in await here.items(PODS)
                )

            await here.until(recovered, 120)

    run_virtual(main())


def test_usage_follows_the_script() -> None:
    async def main() -> None:
        async with simulated(1) as (here, simulation):
            await here.client.create(DEPLOYMENTS, scripted(a_deployment(replicas=1), cpu="0s=100m,1m=2", memory="64Mi"))
            await here.rolled_out("web")
            first = simulation.summary("simulated-0")
            await asyncio.sleep(61)
            later = simulation.summary("simulated-0")
            assert first is not None
            assert later is not None
            cores = [each["pods"][0]["containers"][0]["cpu"]["usageNanoCores"] for each in (first, later)]
            assert cores == [10**8, 2 * 10**9]
            assert later["node"]["memory"]["workingSetBytes"] == 64 << 20
            assert simulation.summary("wherry") is None

    run_virtual(main())


def test_fewer_nodes_than_before() -> None:
    async def main() -> None:
        async with simulated(3) as (here, _):
            await here.until(lambda: _count(here, 3))
            addresses = PodAddresses(POD_RANGE)
            fewer = Simulation(1, "1.36", here.client, here.factory, here.recorder, addresses, here.clock, here.rng)
            here.started.append(asyncio.create_task(fewer.run()))
            await here.until(lambda: _count(here, 1))
            assert await here.client.get(LEASES, "simulated-0", "kube-node-lease")

    run_virtual(main())


async def _count(here: World, wanted: int) -> bool:
    try:
        return len(await here.items(NODES, None)) == wanted
    except StatusError:
        return False


def test_logs_are_scripted_and_commands_refused() -> None:
    async def main() -> None:
        async with simulated(1) as (here, simulation):
            here.app.core.pretended = simulation
            told = scripted(a_deployment(replicas=1), logs="hello\n@1h late")
            await here.client.create(DEPLOYMENTS, told)
            await here.rolled_out("web")
            (pod,) = await here.items(PODS)
            path = f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}"
            assert await read(here, f"{path}/log", "") == b"hello\n"
            assert await read(here, f"{path}/log", "tailLines=0") == b""
            with pytest.raises(StatusError, match="previous terminated container") as refused:
                await read(here, f"{path}/log", "previous=true")
            assert refused.value.code == 400
            for what in ("exec?command=ls&stdout=1", "attach?stdout=1", "portforward?ports=80"):
                sub, _, query = what.partition("?")
                with pytest.raises(StatusError, match=f"there is no process for {sub}") as refused:
                    await read(here, f"{path}/{sub}", query)
                assert refused.value.code == 400
            # A node that is cut off answers as one that does not answer.
            await here.client.patch(NODES, "simulated-0", {"metadata": {"annotations": {f"{PREFIX}heartbeat": "off"}}})
            await here.until(lambda: not simulation.has("simulated-0"))

    run_virtual(main())


async def read(here: World, path: str, query: str) -> bytes:
    """The body of a stream; raises what is refused."""
    request = Request("GET", path, parse_query(query), {}, b"", query, user=User("admin", (MASTERS,)))
    answer = await here.app.handle(request)
    if isinstance(answer, Stream):
        return b"".join([piece async for piece in answer.items if isinstance(piece, bytes)])
    assert isinstance(answer, Response)
    assert isinstance(answer.obj, dict)
    raise StatusError(answer.status, answer.obj["reason"], answer.obj["message"])
