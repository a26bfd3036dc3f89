"""The runtime contract over the pretended runtime, and over the real one in both tiers."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from wherry.aio.clock import RealClock
from wherry.cri.interface import RuntimeService
from wherry.cri.service import LinuxRuntime
from wherry.testing.contracts.cri import RuntimeContract
from wherry.testing.fake_runtime import FakeRuntime
from wherry.testing.launcher_process import LauncherProcess, tiers


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
