"""What follows from workloads when everything is quiet: endpoints, budgets, quotas, schedules, and nothing without an owner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from wherry.aio.clock import parse_rfc3339
from wherry.api.labels import Selector
from wherry.api.resources import (
    CONFIG_MAPS,
    CRON_JOBS,
    ENDPOINT_SLICES,
    IP_ADDRESSES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    RESOURCE_QUOTAS,
    SERVICES,
)
from wherry.api.types import Obj
from wherry.testing.simulation.replay import FINISHED, is_ready, owners
from wherry.testing.simulation.state import State, named

OVERDUE_SECONDS = 400.0
"""A CronJob that forbids overlap may skip a few minutes while a Job of its fails, and is tried again."""
WATCHED_KINDS = frozenset(
    {"Node", "ConfigMap", "Service", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob"}
)


def unsettled(state: State, now: float) -> Iterator[str]:
    """`now` is the wall's."""
    yield from _endpoints(state)
    yield from _addresses(state)
    yield from _budgets(state)
    yield from _quotas(state)
    yield from _schedules(state, now)
    yield from _orphans(state)


def _pods(state: State, namespace: str, labels: Selector) -> list[Obj]:
    found = [one for one in state.of(PODS) if one["metadata"]["namespace"] == namespace]
    return [one for one in found if labels.matches(one["metadata"].get("labels"))]


def _endpoints(state: State) -> Iterator[str]:
    told: dict[tuple[str, str], set[str]] = {}
    for each in state.of(ENDPOINT_SLICES):
        service = (each["metadata"].get("labels") or {}).get("kubernetes.io/service-name", "")
        known = told.setdefault((each["metadata"]["namespace"], service), set())
        for one in each.get("endpoints") or ():
            if (one.get("conditions") or {}).get("ready"):
                known.update(one["addresses"])
    for service in state.of(SERVICES):
        metadata, labels = service["metadata"], service["spec"].get("selector")
        if not labels:
            continue
        pods = _pods(state, metadata["namespace"], Selector.from_object({"matchLabels": labels}))
        ready = {pod["status"]["podIP"] for pod in pods if is_ready(pod)}
        if ready != (have := told.get((metadata["namespace"], metadata["name"]), set())):
            yield f"{named(service, 'service')} leads to {sorted(have)} instead of {sorted(ready)}"


def _addresses(state: State) -> Iterator[str]:
    held = {
        one: f"{service['metadata']['namespace']}/{service['metadata']['name']}"
        for service in state.of(SERVICES)
        for one in service["spec"].get("clusterIPs") or ()
        if one != "None"
    }
    told = {}
    for one in state.of(IP_ADDRESSES):
        parent = one["spec"]["parentRef"]
        told[one["metadata"]["name"]] = f"{parent['namespace']}/{parent['name']}"
    for address in sorted({*held, *told}):
        if held.get(address) != told.get(address):
            yield f"address {address} is held by {held.get(address)}, and its IPAddress names {told.get(address)}"


def _budgets(state: State) -> Iterator[str]:
    for budget in state.of(POD_DISRUPTION_BUDGETS):
        status = budget.get("status") or {}
        if any(one.get("reason") == "SyncFailed" for one in status.get("conditions") or ()):
            continue  # percentages need controllers that can be scaled; of a DaemonSet's pods there is none
        selector = Selector.from_object(budget["spec"].get("selector"))
        healthy = sum(map(is_ready, _pods(state, budget["metadata"]["namespace"], selector)))
        allowed = max(0, healthy - status.get("desiredHealthy", 0))
        if status.get("currentHealthy") != healthy:
            yield f"{named(budget, 'budget')} counts {status.get('currentHealthy')} healthy pods instead of {healthy}"
        elif status.get("disruptionsAllowed") != allowed and status.get("expectedPods"):
            yield f"{named(budget, 'budget')} allows {status.get('disruptionsAllowed')} disruptions instead of {allowed}"


def _quotas(state: State) -> Iterator[str]:
    pods = Counter(
        one["metadata"]["namespace"] for one in state.of(PODS) if (one.get("status") or {}).get("phase") not in FINISHED
    )
    maps = Counter(one["metadata"]["namespace"] for one in state.of(CONFIG_MAPS))
    for quota in state.of(RESOURCE_QUOTAS):
        namespace, used = quota["metadata"]["namespace"], (quota.get("status") or {}).get("used") or {}
        real = {"pods": pods[namespace], "count/configmaps": maps[namespace]}
        for name in quota["spec"]["hard"]:
            if used.get(name) != str(real[name]):
                yield f"{named(quota, 'quota')} counts {used.get(name)} {name} instead of {real[name]}"


def _schedules(state: State, now: float) -> Iterator[str]:
    limited = {each["metadata"]["namespace"] for each in state.of(RESOURCE_QUOTAS)}
    for cron in state.of(CRON_JOBS):
        last = (cron.get("status") or {}).get("lastScheduleTime") or cron["metadata"]["creationTimestamp"]
        if now - parse_rfc3339(last) > OVERDUE_SECONDS and cron["metadata"]["namespace"] not in limited:
            yield f"{named(cron, 'cronjob')} was last run at {last}"


def _orphans(state: State) -> Iterator[str]:
    alive = state.uids()
    for gvr in state.resources():
        for obj in state.of(gvr):
            known = [one for one in owners(obj) if one["kind"] in WATCHED_KINDS]
            if known and len(known) == len(owners(obj)) and not any(one["uid"] in alive for one in known):
                yield f"{named(obj, gvr.resource)} is still there, its owner {known[0]['kind']} {known[0]['name']} is not"
