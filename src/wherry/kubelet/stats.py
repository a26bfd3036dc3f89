"""/stats/summary: CPU and memory of pods, containers and the node, from two samples at most a second apart.

A rate needs two samples. The last one is kept; when it is too old for the question, a second is taken after a short pause,
so that nobody samples while nobody asks.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from wherry.aio.clock import Clock, rfc3339
from wherry.api.types import Obj
from wherry.cri.interface import ContainerStats, RuntimeService
from wherry.kubelet import node_facts, pod_spec
from wherry.kubelet.config import NodeConfig
from wherry.kubelet.downward import NodeFacts
from wherry.kubelet.pleg import Pleg

SAMPLE_SECONDS_MIN = 0.2
"""Between the two samples of a rate; CPU time is counted in steps of 10 ms, so this is good to about 5 %."""
FRESH_SECONDS = 1.0
WINDOW_SECONDS_MAX = 60.0
"""A last sample older than this says nothing of now."""


class Rate(Struct, frozen=True):
    """Usage of one container over the `window` seconds until `at`."""

    nano_cores: int
    nano_seconds: int
    memory_bytes: int
    at: float
    window: float


class _Sample(Struct, frozen=True):
    at: float
    containers: dict[str, ContainerStats]
    node_cpu_nanoseconds: int


class Stats:
    def __init__(
        self,
        config: NodeConfig,
        facts: NodeFacts,
        runtime: RuntimeService,
        pleg: Pleg,
        pods: Callable[[], Sequence[Obj]],
        clock: Clock,
    ) -> None:
        self._config = config
        self._facts = facts
        self._runtime = runtime
        self._pleg = pleg
        self._pods = pods
        self._clock = clock
        self._previous: _Sample | None = None
        self._newest: _Sample | None = None
        self._lock = asyncio.Lock()

    async def summary(self) -> Obj:
        """kubelet's stats/v1alpha1 Summary, the parts that metrics.k8s.io and HPA read. Beside `usageNanoCores` stands in
        `windowSeconds` what Kubernetes leaves open: over how long, until `time`, it is averaged."""
        async with self._lock:
            await self._sample()
        newest, previous = self._newest, self._previous
        assert newest is not None
        pods = [self._pod(pod, newest, previous) for pod in self._pods()]
        return {
            "node": {
                "nodeName": self._config.name,
                "cpu": _cpu(newest.at, *self._node_rate(newest, previous), newest.node_cpu_nanoseconds),
                "memory": self._node_memory(newest.at),
            },
            "pods": [pod for pod in pods if pod["containers"]],
        }

    async def _sample(self) -> None:
        """Have two samples: the newest at most a second old, the other at least a fifth of one before it."""
        newest = self._newest
        if newest is not None and self._previous is not None and self._clock.time() - newest.at < FRESH_SECONDS:
            return
        if newest is None or self._clock.time() - newest.at > WINDOW_SECONDS_MAX:
            newest = await self._take()
        pause = newest.at + SAMPLE_SECONDS_MIN - self._clock.time()
        if pause > 0:
            await self._clock.sleep(pause)
        self._previous, self._newest = newest, await self._take()

    async def _take(self) -> _Sample:
        found = {each.container_id: each for each in await self._runtime.stats()}
        return _Sample(self._clock.time(), found, node_cpu_nanoseconds())

    def _pod(self, pod: Obj, newest: _Sample, previous: _Sample | None) -> Obj:
        uid = pod_spec.uid_of(pod)
        containers: list[Obj] = []
        cores = seconds = memory = 0
        window = 0.0
        for status in self._pleg.pod(uid).alive():
            sample = newest.containers.get(status.id)
            if sample is None:
                continue
            before = previous.containers.get(status.id) if previous else None
            rate = container_rate(sample, before, status.started_at)
            cores, seconds, memory = cores + rate.nano_cores, seconds + rate.nano_seconds, memory + rate.memory_bytes
            window = max(window, rate.window)
            containers.append(
                {
                    "name": status.config.name,
                    "startTime": rfc3339(status.started_at),
                    "cpu": _cpu(rate.at, rate.nano_cores, rate.window, rate.nano_seconds),
                    "memory": _memory(rate.at, rate.memory_bytes),
                }
            )
        metadata = pod["metadata"]
        return {
            "podRef": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": uid},
            "startTime": (pod.get("status") or {}).get("startTime"),
            "containers": containers,
            "cpu": _cpu(newest.at, cores, window, seconds),
            "memory": _memory(newest.at, memory),
        }

    def _node_rate(self, newest: _Sample, previous: _Sample | None) -> tuple[int, float]:
        if previous is None or newest.at <= previous.at:
            return 0, 0.0
        span = newest.at - previous.at
        return int((newest.node_cpu_nanoseconds - previous.node_cpu_nanoseconds) / span), span

    def _node_memory(self, at: float) -> Obj:
        available = node_facts.memory_available_bytes()
        used = max(self._facts.memory_bytes - available, 0)
        return {"time": rfc3339(at), "availableBytes": available, "usageBytes": used, "workingSetBytes": used}


def container_rate(newest: ContainerStats, previous: ContainerStats | None, started_at: float) -> Rate:
    """Between two samples; of a container seen once, since it started."""
    begin = previous.timestamp if previous is not None else started_at
    span = max(newest.timestamp - begin, 0.0)
    used = newest.cpu_usage_nanoseconds - (previous.cpu_usage_nanoseconds if previous is not None else 0)
    cores = int(used / span) if span > 0 and used > 0 else 0
    return Rate(cores, newest.cpu_usage_nanoseconds, newest.memory_working_set_bytes, newest.timestamp, span)


def node_cpu_nanoseconds() -> int:
    """CPU time all processes of the machine have used: user, nice, system, irq, softirq, steal of /proc/stat."""
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    ticks = sum(int(fields[index]) for index in (0, 1, 2, 5, 6, 7) if index < len(fields))
    return ticks * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))


def _cpu(at: float, nano_cores: int, window: float, nano_seconds: int) -> Obj:
    return {
        "time": rfc3339(at),
        "usageNanoCores": nano_cores,
        "usageCoreNanoSeconds": nano_seconds,
        "windowSeconds": round(window, 3),
    }


def _memory(at: float, size: int) -> Obj:
    return {"time": rfc3339(at), "usageBytes": size, "workingSetBytes": size, "rssBytes": size}
