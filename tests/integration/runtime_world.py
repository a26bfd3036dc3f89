"""A launcher in each tier, and pods on it, for the tests of the runtime.

A test file imports the fixtures `launcher` and `world`, or says by `proc_launcher` which launchers of tier `proc` its own are.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import process_tree
import pytest

from wherry.cri.interface import ContainerConfig, ContainerState, ContainerStatus, SandboxConfig
from wherry.cri.service import LinuxRuntime
from wherry.images.rootfs import RootFS
from wherry.launcher import syscalls
from wherry.launcher.client import LauncherClient
from wherry.testing.contracts.cri import sandbox_config
from wherry.testing.launcher_process import WAYS, LauncherProcess, ordinary_user, tiers

HOST = RootFS(host=True)
PATIENCE_SECONDS = 90
"""For whatever comes about in time, on a machine that is busy or stood still; a test has two minutes."""
_numbers = itertools.count(10)


class World:
    """One launcher and a runtime that speaks to it."""

    def __init__(self, launcher: LauncherProcess) -> None:
        self.launcher = launcher
        self.tier = launcher.tier
        self.runtime = LinuxRuntime(launcher.socket, random.Random())
        self.folder = launcher.state / f"world-{next(_numbers)}"

    def config(self, **fields: Any) -> SandboxConfig:
        number = next(_numbers)
        fields.setdefault("ip", f"10.244.{number // 250}.{number % 250 + 2}")
        return sandbox_config(self.folder, f"pod-{number}", **fields)

    def volume(self, name: str) -> Path:
        """A directory that everybody may write, made for this test."""
        folder = self.launcher.state / f"{name}-{self.folder.name}"
        folder.mkdir()
        folder.chmod(0o777)
        return folder

    async def sandbox(self, **fields: Any) -> str:
        return await self.runtime.run_pod_sandbox(self.config(**fields))

    async def start(self, sandbox: str, argv: Sequence[str], rootfs: RootFS = HOST, **fields: Any) -> str:
        fields.setdefault("log_path", f"main/{next(_numbers)}.log")
        config = ContainerConfig("main", tuple(argv), rootfs, "wherry.dev/host:v1", **fields)
        container_id = await self.runtime.create_container(sandbox, config)
        await self.runtime.start_container(container_id)
        return container_id

    async def ended(self, container_id: str) -> ContainerStatus:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                status = await self.runtime.container_status(container_id)
                assert status is not None
                if status.state is ContainerState.EXITED:
                    return status
                await asyncio.sleep(0.005)

    async def run(self, sandbox: str, argv: Sequence[str], rootfs: RootFS = HOST, **fields: Any) -> tuple[int, str]:
        """The exit code and everything printed."""
        container_id = await self.start(sandbox, argv, rootfs, **fields)
        status = await self.ended(container_id)
        return status.exit_code, await self.printed(container_id)

    async def sh(self, sandbox: str, script: str, rootfs: RootFS = HOST, **fields: Any) -> tuple[int, str]:
        return await self.run(sandbox, ["sh", "-c", script], rootfs, **fields)

    async def log(self, container_id: str) -> Path:
        status = await self.runtime.container_status(container_id)
        assert status is not None
        sandboxes = {sandbox.id: sandbox for sandbox in await self.runtime.list_pod_sandboxes()}
        return sandboxes[status.sandbox_id].config.log_directory / status.config.log_path

    async def printed(self, container_id: str) -> str:
        log = await self.log(container_id)
        whole, _, _ = log.read_text().rpartition("\n")  # what follows is being written
        records = [line.split(" ", 3) for line in whole.splitlines()]
        return "".join(text + ("\n" if tag == "F" else "") for _, _, tag, text in records)

    async def until_printed(self, container_id: str, text: str) -> str:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while text not in (printed := await self.printed(container_id)):
                await asyncio.sleep(0.005)
        return printed

    async def close(self) -> None:
        for sandbox in await self.runtime.list_pod_sandboxes():
            await self.runtime.remove_pod_sandbox(sandbox.id)
        self.runtime.close()


@pytest.fixture(scope="module", params=tiers(), ids=lambda param: param[0])
def launcher(request: pytest.FixtureRequest) -> Iterator[LauncherProcess]:
    tier, user = request.param
    launcher = LauncherProcess(tier, user=user)
    yield launcher
    launcher.close()


def proc_launcher(
    *, both_ways: bool = True, scope: Literal["module", "function"] = "module", folder: str = "/tmp"
) -> Any:
    """The fixture `launcher` of a file about tier `proc`: as an ordinary user, in both `WAYS` or as it starts by itself, with
    its state in `folder`."""

    @pytest.fixture(scope=scope, params=WAYS if both_ways else None)
    def launcher(request: pytest.FixtureRequest) -> Iterator[LauncherProcess]:
        options = WAYS[request.param] if both_ways else ()
        launcher = LauncherProcess("proc", user=ordinary_user(), options=options, folder=folder)
        yield launcher
        launcher.close()

    return launcher


def is_exact(launcher: LauncherProcess) -> bool:
    """Whether one of tier `proc` performs calls on duplicates of descriptors."""
    return launcher.options == WAYS["exact"] and may_take_descriptors()


def may_take_descriptors() -> bool:
    """Not in an ordinary container."""
    pidfd = os.pidfd_open(os.getpid())
    try:
        os.close(syscalls.raw("pidfd_getfd", pidfd, 2, 0))
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return True


def shims(launcher: LauncherProcess) -> list[int]:
    """The numbers of a launcher's shims of tier `proc`, the outermost first; the last one answers."""
    found = [launcher.process.pid]
    while inner := [pid for pid in process_tree.children(found[-1]) if process_tree.name(pid) == "wherry-shim"]:
        found.append(inner[0])
    return found[1:]


@pytest.fixture
async def client(launcher: LauncherProcess) -> AsyncIterator[LauncherClient]:
    """A connection to it, for operations that no runtime has."""
    client = LauncherClient(launcher.socket)
    await client.connect()
    yield client
    client.close()


@pytest.fixture
async def world(launcher: LauncherProcess) -> AsyncIterator[World]:
    world = World(launcher)
    yield world
    await world.close()


def small_image(folder: Path, *programs: str) -> Path:
    """A layer with some of the machine's programs, by names or paths, and what they are linked with, readable by everybody."""
    for program in ("sh", *programs):
        found = shutil.which(program)
        assert found is not None
        linked = subprocess.run(["ldd", found], capture_output=True, text=True).stdout
        for file in (found, *(word for word in linked.split() if word.startswith("/"))):
            target = folder / ("bin/" + Path(program).name if file == found else file.lstrip("/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    return folder
