"""The eviction manager: looks at the node every ten seconds, keeps its conditions, and ends one pod after another while the node
is low on something.

The pure parts are around it: what is met (`thresholds.py`), for how long (`pressure.py`), who goes (`ranking.py`), in which words
(`texts.py`). While nothing is low a look is two system calls and one file of /proc.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from wherry.aio.clock import Clock
from wherry.api.types import Obj
from wherry.cri.interface import RuntimeFailure
from wherry.kubelet import pod_spec
from wherry.kubelet.config import NodeConfig
from wherry.kubelet.downward import NodeFacts
from wherry.kubelet.events import Recorder
from wherry.kubelet.eviction import readings, texts
from wherry.kubelet.eviction.pressure import Pressure
from wherry.kubelet.eviction.ranking import PodUsage, is_critical, ranked
from wherry.kubelet.eviction.thresholds import CONDITIONS, RESOURCES, Reading, Threshold, met
from wherry.kubelet.eviction.usage import Usage

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0  # kubelet's monitoring interval
GRACE_SECONDS = 1.0  # what a hard threshold leaves a pod
CLEANUP_SECONDS = 30.0
"""So long the next look waits for a pod to end, as the kubelet's: what it gives back is then in the reading."""


class Workers(Protocol):
    """Who ends pods (`kubelet.pod_workers.PodWorkers`)."""

    def pods(self) -> list[Obj]: ...

    def evict(self, uid: str, message: str, grace: float) -> asyncio.Event | None:
        """None: it is over, or nearly so; else what is set once it has ended."""
        ...


class EvictionManager:
    """`await run()` until cancelled. `changed` is called when the conditions of `pressure` have."""

    def __init__(
        self,
        config: NodeConfig,
        facts: NodeFacts,
        pressure: Pressure,
        usage: Usage,
        workers: Workers,
        recorder: Recorder,
        changed: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._config = config
        self._facts = facts
        self._pressure = pressure
        self._usage = usage
        self._workers = workers
        self._recorder = recorder
        self._changed = changed
        self._clock = clock
        self._used_before: dict[str, int] = {}
        """By signal that a fault lowers: what pods used when it began."""
        self._node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": config.name, "uid": config.name}}

    async def run(self) -> None:
        """A runtime that is away is waited out: nobody can be ended then."""
        while True:
            ended = None
            try:
                ended = await self.look()
            except (RuntimeFailure, ConnectionError) as error:
                log.warning("eviction: %s", error)
            if ended is None:
                await self._clock.sleep(LOOK_SECONDS)
                continue
            try:
                async with asyncio.timeout(CLEANUP_SECONDS):
                    await ended.wait()
            except TimeoutError:
                log.warning("an evicted pod has not ended within %.0f s", CLEANUP_SECONDS)

    async def look(self) -> asyncio.Event | None:
        """Once; what is set when the pod that had to go has ended, None when none had to."""
        thresholds = self._config.eviction
        real = readings.read(self._config.pods_directory, self._facts.memory_bytes)
        injected = self._config.injected()
        found = await self._lowered(real, injected) if injected or self._used_before else real
        low = met(thresholds, found)
        truly, seen = ([CONDITIONS[each.signal] for each in which] for which in (met(thresholds, real), low))
        if self._pressure.observe(truly, seen, fault=bool(injected), now=self._clock.monotonic()):
            self._changed()
        return await self._evict(low[0], found[low[0].signal]) if low else None

    async def _lowered(self, real: Mapping[str, Reading], injected: Mapping[str, int]) -> Mapping[str, Reading]:
        given_back: dict[str, int] = {}
        for signal in RESOURCES:
            if signal not in injected:
                self._used_before.pop(signal, None)
                continue
            now = sum(each.total for each in (await self._usage.of(signal, self._workers.pods())).values())
            given_back[signal] = self._used_before.setdefault(signal, now) - now
        return readings.lowered(real, injected, given_back)

    async def _evict(self, threshold: Threshold, reading: Reading) -> asyncio.Event | None:
        self._recorder.event(self._node, "Warning", "EvictionThresholdMet", texts.attempting(threshold))
        pods = [each for each in self._workers.pods() if not pod_spec.is_terminal(each)]
        usage = await self._usage.of(threshold.signal, pods)
        return self._end_first(ranked(pods, RESOURCES[threshold.signal], usage), threshold, reading, usage)

    def _end_first(
        self, pods: Sequence[Obj], threshold: Threshold, reading: Reading, usage: Mapping[str, PodUsage]
    ) -> asyncio.Event | None:
        for pod in pods:
            if is_critical(pod):
                continue
            uid = pod_spec.uid_of(pod)
            message = texts.evicted(threshold, reading, pod, usage.get(uid))
            if (ended := self._workers.evict(uid, message, GRACE_SECONDS)) is not None:
                log.warning("evicted %s: %s", pod_spec.full_name(pod), message)
                return ended
        return None
