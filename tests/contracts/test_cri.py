"""The runtime contract over the pretended runtime, and over the real one in every tier."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from wherry.aio.clock import RealClock
from wherry.cri.interface import ContainerState, RuntimeService
from wherry.cri.service import LinuxRuntime
from wherry.testing.contracts.cri import PATIENCE_SECONDS, RuntimeContract
from wherry.testing.fake_runtime import FakeRuntime
from wherry.testing.launcher_process import WAYS, LauncherProcess, ordinary_user, tiers


class TestFake(RuntimeContract):
    @pytest.fixture
    async def runtime(self) -> AsyncIterator[RuntimeService]:
        runtime = FakeRuntime(RealClock(), random.Random(1))
        yield runtime
        await runtime.close()


@pytest.fixture(scope="module", params=tiers(), ids=lambda param: param[0])
def launcher(request: pytest.FixtureRequest) -> Iterator[LauncherProcess]:
    tier, user = request.param
    launcher = LauncherProcess(tier, user=user)
    yield launcher
    launcher.close()


class TestLinux(RuntimeContract):
    @pytest.fixture
    def folder(self, launcher: LauncherProcess, request: pytest.FixtureRequest) -> Path:
        return launcher.state / request.function.__name__

    @pytest.fixture
    async def runtime(self, launcher: LauncherProcess) -> AsyncIterator[RuntimeService]:
        runtime = LinuxRuntime(launcher.socket, random.Random())
        yield runtime
        for sandbox in await runtime.list_pod_sandboxes():
            await runtime.remove_pod_sandbox(sandbox.id)
        runtime.close()


@pytest.fixture(scope="module", params=WAYS)
def proc_launcher(request: pytest.FixtureRequest) -> Iterator[LauncherProcess]:
    launcher = LauncherProcess("proc", user=ordinary_user(), options=WAYS[request.param])
    yield launcher
    assert launcher.said() == ""
    launcher.close()


class TestPlain(RuntimeContract):
    """Tier proc; no process is pid 1 there, so that none ignores signals for that."""

    async def test_stop_kills_what_ignores_the_signal(self, runtime: RuntimeService, sandbox: str) -> None:
        container_id = await self.start(runtime, sandbox, "sh", "-c", "trap '' TERM; echo ready; exec sleep 1000")
        status = await self.status(runtime, container_id)
        [listed] = await runtime.list_pod_sandboxes()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (listed.config.log_directory / status.config.log_path).read_text():
                await asyncio.sleep(0.005)
        await runtime.stop_container(container_id, 0.1)
        status = await self.status(runtime, container_id)
        assert (status.state, status.exit_code) == (ContainerState.EXITED, 137)

    @pytest.fixture
    def folder(self, proc_launcher: LauncherProcess, request: pytest.FixtureRequest) -> Path:
        return proc_launcher.state / request.function.__name__

    @pytest.fixture
    async def runtime(self, proc_launcher: LauncherProcess) -> AsyncIterator[RuntimeService]:
        runtime = LinuxRuntime(proc_launcher.socket, random.Random())
        yield runtime
        for sandbox in await runtime.list_pod_sandboxes():
            await runtime.remove_pod_sandbox(sandbox.id)
        runtime.close()
