"""Whether everything is as it was asked for: what must become true once nothing goes wrong any more."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.api.resources import (
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
    STATEFUL_SETS,
)
from wherry.api.types import GVR, Obj
from wherry.testing.simulation import consequences
from wherry.testing.simulation.operations import Users
from wherry.testing.simulation.outcome import Violation
from wherry.testing.simulation.replay import controller
from wherry.testing.simulation.state import State, named
from wherry.testing.simulation.world import World


async def unsettled(world: World, users: Users) -> list[Violation]:
    """What is not yet as it should be, judged by what the watch told last."""
    state = State(world.observer.now)
    found = [Violation("convergence", text) for text in _workloads(state)]
    found += [Violation("convergence", text) for text in _nodes(state, world.scenario.nodes)]
    found += [Violation("convergence", text) for text in consequences.unsettled(state, world.clock.time())]
    found += _counters(state, users)
    return found


def _workloads(state: State) -> Iterator[str]:
    limited = {each["metadata"]["namespace"] for each in state.of(RESOURCE_QUOTAS)}
    for gvr in (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS):
        for obj in state.of(gvr):
            wanted, status = obj["spec"].get("replicas", 1), obj.get("status") or {}
            if obj["spec"].get("paused") or obj["metadata"]["namespace"] in limited:
                continue
            if obj["metadata"].get("deletionTimestamp"):
                yield f"{named(obj, gvr.resource)} is being deleted for ever"
            elif status.get("observedGeneration") != obj["metadata"]["generation"]:
                yield f"{named(obj, gvr.resource)}: generation {obj['metadata']['generation']} was not observed"
            elif any(status.get(key, 0) != wanted for key in _counts(gvr, obj)) and not _robbed(state, obj):
                have = {key: status.get(key, 0) for key in _counts(gvr, obj)}
                yield f"{named(obj, gvr.resource)} wants {wanted} and has {have}"
    for obj in state.of(DAEMON_SETS):
        status = obj.get("status") or {}
        wanted = len(state.of(NODES))
        keys = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled")
        if obj["metadata"]["namespace"] not in limited and any(status.get(key, 0) != wanted for key in keys):
            yield f"{named(obj, 'daemonsets')} wants {wanted} and has {[status.get(key, 0) for key in keys]}"
    for obj in state.of(JOBS):
        if obj["metadata"]["namespace"] in limited or _of_cron(obj):
            continue
        ended = [
            one for one in (obj.get("status") or {}).get("conditions") or () if one["type"] in ("Complete", "Failed")
        ]
        if not ended:
            yield f"{named(obj, 'jobs')} has not ended: {obj.get('status')}"
    for obj in state.of(NAMESPACES):
        if obj["metadata"].get("deletionTimestamp"):
            yield f"namespace {obj['metadata']['name']} does not go away"
    for obj in state.of(PODS):
        if obj["metadata"].get("deletionTimestamp"):
            yield f"{named(obj, 'pod')} does not go away"


def _robbed(state: State, obj: Obj) -> bool:
    """A StatefulSet whose pods' names somebody else has, who adopted the pods that one of the same name had left."""
    names = {f"{obj['metadata']['name']}-{number}" for number in range(obj["spec"].get("replicas", 1))}
    there = [pod for pod in state.of(PODS) if pod["metadata"]["namespace"] == obj["metadata"]["namespace"]]
    holders = [controller(pod) for pod in there if pod["metadata"]["name"] in names]
    uid = obj["metadata"]["uid"]
    return obj["kind"] == "StatefulSet" and any(one is not None and one["uid"] != uid for one in holders)


def _of_cron(obj: Obj) -> bool:
    return any(one["kind"] == "CronJob" for one in obj["metadata"].get("ownerReferences") or ())


def _counts(gvr: GVR, obj: Obj) -> tuple[str, ...]:
    if gvr == REPLICA_SETS:
        return ("replicas", "readyReplicas", "availableReplicas")
    return ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas")


def _nodes(state: State, count: int) -> Iterator[str]:
    nodes = state.of(NODES)
    if len(nodes) != count:
        yield f"there are {len(nodes)} nodes instead of {count}"
    for obj in nodes:
        ready = [one for one in obj["status"].get("conditions") or () if one["type"] == "Ready"]
        if not ready or ready[0]["status"] != "True":
            yield f"{named(obj, 'node')} is not ready: {ready}"
        elif obj["spec"].get("taints"):
            yield f"{named(obj, 'node')} keeps its taints {obj['spec']['taints']}"


def _counters(state: State, users: Users) -> list[Violation]:
    found = []
    for obj in state.of(CONFIG_MAPS):
        metadata = obj["metadata"]
        key = (metadata["namespace"], metadata["name"], metadata["uid"])
        if key not in users.counted:
            continue
        least, most = users.counted[key], users.counted[key] + users.doubtful.get(key, 0)
        if not least <= int(obj["data"]["count"]) <= most:
            text = f"{named(obj, 'configmap')} says {obj['data']['count']}, and {least} to {most} were counted"
            found.append(Violation("lost update", text, (metadata["name"],)))
    return found
