"""What running containers use: by their cgroup, else by their processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wherry.launcher import cgroups, stats
from wherry.launcher.context import Context
from wherry.launcher.records import RUNNING, Container, Records, wall_time
from wherry.launcher.requests import Operation, Request


class UsageOperations:
    """`stats`, asked about once a second."""

    def __init__(self, context: Context, records: Records) -> None:
        self._context = context
        self._records = records
        self._table = stats.ProcessTable()
        self._cpu: dict[str, int] = {}

    def operations(self) -> Mapping[str, Operation]:
        return {"stats": self._stats}

    def _stats(self, request: Request) -> None:
        """-> one entry per running container."""
        running = [each for each in self._records.containers.values() if each.state == RUNNING]
        items: list[dict[str, Any]] = []
        without: list[Container] = []
        now = wall_time()
        for container in running:
            used = cgroups.usage(self._context.cgroups, f"{container.sandbox_id}/{container.id}")
            if used is None:
                without.append(container)
            else:
                items.append(_entry(container, now, *used))
        self._cpu = {each.id: self._cpu.get(each.id, 0) for each in without}
        sampled = self._table.sample({each.namespace for each in without}) if without else {}
        for container in without:
            if container.namespace in sampled:
                found = sampled[container.namespace]
                # A child between its end and its parent's wait is counted nowhere: never go back.
                cpu = self._cpu[container.id] = max(found.cpu_nanoseconds, self._cpu[container.id])
                items.append(_entry(container, now, cpu, found.memory_bytes))
        request.answer({"items": items})


def _entry(container: Container, now: float, cpu: int, memory: int) -> dict[str, Any]:
    return {
        "container_id": container.id,
        "sandbox_id": container.sandbox_id,
        "timestamp": now,
        "cpu_usage_nanoseconds": cpu,
        "memory_working_set_bytes": memory,
    }
