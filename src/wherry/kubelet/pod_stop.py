"""Ending containers: preStop hook, signal, grace, and for a whole pod the order (sidecars last, in reverse).

Grace periods by Kubernetes' "Termination of Pods" and "Sidecar Containers" pages: hooks of all containers begin at once,
a sidecar then waits for its turn, and all of it comes out of one grace period.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from wherry.api.types import Obj
from wherry.cri.interface import ContainerStatus
from wherry.kubelet import pod_spec
from wherry.kubelet.failures import HookFailure
from wherry.kubelet.observation import PodSeen
from wherry.launcher.specs import STOP_SIGNAL_LABEL

if TYPE_CHECKING:
    from wherry.kubelet.parts import Parts

DEFAULT_GRACE_SECONDS = 30
MINIMUM_GRACE_SECONDS = 2
"""What is left for a container after a hook that used up its grace period, so that it can still end by itself."""


def effective_grace(pod: Obj, removed: bool) -> float:
    """Seconds a pod has to end: what its deletion says, else its spec, at least 1.

    A pod that is gone from the API before its end was deleted by force, or while we were away: it has 1 second."""
    metadata = pod["metadata"]
    if removed:
        return 1.0
    if metadata.get("deletionTimestamp") and metadata.get("deletionGracePeriodSeconds") is not None:
        return float(max(metadata["deletionGracePeriodSeconds"], 1))
    return float(max(pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS), 1))


async def stop_containers(
    parts: Parts,
    pod: Obj,
    seen: PodSeen,
    *,
    grace: float | None = None,
    only: Mapping[str, str] | None = None,
) -> None:
    """End containers and return when they have ended. `only`: these ids, each with why; else the whole pod, in order."""
    targets = [each for each in seen.alive() if only is None or each.id in only]
    done = {each.config.name: asyncio.Event() for each in targets}
    endings = []
    for container in targets:
        reason = only[container.id] if only is not None else ""
        seconds = grace if grace is not None else _container_grace(pod, container, reason)
        before = [] if only is not None else _goes_before(pod, container.config.name, done)
        endings.append(_stop_one(parts, pod, container, seconds, reason, before, done[container.config.name]))
    for outcome in await asyncio.gather(*endings, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _stop_one(
    parts: Parts,
    pod: Obj,
    container: ContainerStatus,
    grace: float,
    reason: str,
    before: list[asyncio.Event],
    done: asyncio.Event,
) -> None:
    name = container.config.name
    began = parts.clock.monotonic()
    if not reason:
        parts.events.normal(pod, "Killing", f"Stopping container {name}", name)
    spec = pod_spec.find_container(pod, name) or {}
    if (spec.get("lifecycle") or {}).get("preStop"):
        try:
            await parts.hooks.pre_stop(pod, spec, container, grace, parts.pleg.pod(pod_spec.uid_of(pod)))
        except HookFailure as failure:
            parts.events.warning(pod, "FailedPreStopHook", str(failure), name)
    await _wait_for_turn(before, grace - (parts.clock.monotonic() - began))
    left = max(grace - (parts.clock.monotonic() - began), MINIMUM_GRACE_SECONDS)
    signal = container.config.labels.get(STOP_SIGNAL_LABEL) or "SIGTERM"
    await parts.runtime.stop_container(container.id, left, signal)
    await parts.pleg.refresh_container(container.id)
    done.set()


async def _wait_for_turn(before: list[asyncio.Event], seconds: float) -> None:
    if not before or seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            for event in before:
                await event.wait()
    except TimeoutError:
        pass


def _goes_before(pod: Obj, name: str, done: Mapping[str, asyncio.Event]) -> list[asyncio.Event]:
    """A sidecar waits for every ordinary container and for the sidecars that were started after it."""
    sidecars = [each["name"] for each in pod_spec.sidecars(pod)]
    if name not in sidecars:
        return []
    later = set(sidecars[sidecars.index(name) + 1 :]) | {each["name"] for each in pod_spec.containers(pod)}
    return [event for other, event in done.items() if other in later]


def _container_grace(pod: Obj, container: ContainerStatus, reason: str) -> float:
    spec = pod_spec.find_container(pod, container.config.name) or {}
    probe = spec.get(f"{reason}Probe") or {}
    if probe.get("terminationGracePeriodSeconds") is not None:
        return float(probe["terminationGracePeriodSeconds"])
    return float(pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS))
