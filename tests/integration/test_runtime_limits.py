"""Limits by cgroups, where this machine lets root make them, and their absence said elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from runtime_world import World, launcher, world

from wherry.cri.interface import Resources

__all__ = ["launcher", "world"]


async def _enforced(world: World) -> None:
    reason = (await world.runtime.status())["limits"]
    if reason:
        assert "cgroup" in reason
        pytest.skip(f"{world.tier}: {reason}")


async def test_too_much_memory_is_oomkilled(world: World) -> None:
    await _enforced(world)
    container_id = await world.start(
        await world.sandbox(),
        ["/usr/bin/python3", "-c", "x = bytearray(200_000_000)"],
        resources=Resources(memory_limit=50_000_000),
    )
    status = await world.ended(container_id)
    assert (status.exit_code, status.reason) == (137, "OOMKilled")


async def test_processes_are_limited(world: World) -> None:
    await _enforced(world)
    code, text = await world.sh(
        await world.sandbox(), "for i in $(seq 30); do sleep 1000 & done", resources=Resources(pids_limit=10)
    )
    assert code != 0
    assert "fork" in text.lower()


async def test_cpu_and_its_figures_are_the_groups(world: World) -> None:
    await _enforced(world)
    sandbox = await world.sandbox()
    container_id = await world.start(
        sandbox, ["sh", "-c", "cat /proc/self/cgroup; sleep 1000"], resources=Resources(cpu_request=250, cpu_limit=500)
    )
    printed = await world.until_printed(container_id, "cpu")
    group = next(line.split(":", 2)[2] for line in printed.splitlines() if ":cpu:" in line or line.startswith("0::"))
    found = [path for path in Path("/sys/fs/cgroup").glob(f"*{group}") if (path / "cpu.cfs_quota_us").exists()]
    assert {(path / "cpu.cfs_quota_us").read_text().strip() for path in found} == {"50000"}
    assert {(path / "cpu.shares").read_text().strip() for path in found} == {"256"}
    await world.runtime.remove_pod_sandbox(sandbox)
    assert not any(path.exists() for path in found)
