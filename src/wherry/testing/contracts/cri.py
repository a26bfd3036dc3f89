"""What every container runtime promises, as tests.

    class TestFake(RuntimeContract):
        @pytest.fixture
        async def runtime(self): ...

The programs used are `true`, `false`, `sleep`, `echo`, `cat`, `printenv` and `pwd`. Sandboxes get addresses of
10.244.0.0/16 and directories below `folder`, a fixture that may be overridden.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from wherry.cri.interface import (
    ContainerConfig,
    ContainerEvent,
    ContainerState,
    ContainerStatus,
    Resources,
    RuntimeFailure,
    RuntimeService,
    SandboxConfig,
    SandboxState,
)
from wherry.images.rootfs import RootFS

PATIENCE_SECONDS = 20  # loop time; nothing here takes a second


class RuntimeContract:
    """Subclass with a name that begins with Test and define the fixture `runtime`."""

    rootfs = RootFS(host=True)

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture
    def config(self, folder: Path) -> SandboxConfig:
        return sandbox_config(folder)

    @pytest.fixture
    async def sandbox(self, runtime: RuntimeService, config: SandboxConfig) -> AsyncIterator[str]:
        sandbox_id = await runtime.run_pod_sandbox(config)
        yield sandbox_id
        await runtime.remove_pod_sandbox(sandbox_id)

    def container(self, *argv: str, **fields: Any) -> ContainerConfig:
        fields.setdefault("log_path", "main/0.log")
        return ContainerConfig("main", argv, self.rootfs, "example.test/app:v1", **fields)

    async def start(self, runtime: RuntimeService, sandbox: str, *argv: str, **fields: Any) -> str:
        container_id = await runtime.create_container(sandbox, self.container(*argv, **fields))
        await runtime.start_container(container_id)
        return container_id

    # sandboxes

    async def test_a_sandbox_is_listed_with_its_config_until_it_is_removed(
        self, runtime: RuntimeService, config: SandboxConfig
    ) -> None:
        sandbox_id = await runtime.run_pod_sandbox(config)
        [listed] = await runtime.list_pod_sandboxes()
        assert (listed.id, listed.config, listed.state) == (sandbox_id, config, SandboxState.READY)
        assert listed.created_at > 0
        await runtime.stop_pod_sandbox(sandbox_id)
        [listed] = await runtime.list_pod_sandboxes()
        assert listed.state is SandboxState.NOTREADY
        await runtime.remove_pod_sandbox(sandbox_id)
        assert await runtime.list_pod_sandboxes() == []
        assert not config.directory.exists()

    async def test_stopping_and_removing_what_is_gone_succeeds(self, runtime: RuntimeService, sandbox: str) -> None:
        await runtime.stop_pod_sandbox(sandbox)
        await runtime.stop_pod_sandbox(sandbox)
        await runtime.remove_pod_sandbox(sandbox)
        await runtime.remove_pod_sandbox(sandbox)
        await runtime.stop_container("0" * 64, 1)
        await runtime.remove_container("0" * 64)
        assert await runtime.container_status("0" * 64) is None

    async def test_the_end_of_a_sandbox_ends_its_containers(self, runtime: RuntimeService, sandbox: str) -> None:
        container_id = await self.start(runtime, sandbox, "sleep", "1000")
        await runtime.stop_pod_sandbox(sandbox)
        status = await self.ended(runtime, container_id)
        assert (status.exit_code, status.reason) == (137, "Error")

    async def test_a_stopped_sandbox_takes_no_containers(self, runtime: RuntimeService, sandbox: str) -> None:
        await runtime.stop_pod_sandbox(sandbox)
        with pytest.raises(RuntimeFailure) as failure:
            await runtime.create_container(sandbox, self.container("true"))
        assert failure.value.reason == "CreateContainerError"

    # containers

    async def test_created_started_ended(self, runtime: RuntimeService, sandbox: str) -> None:
        config = self.container("true", env={"A": "b"}, resources=Resources(cpu_limit=500), labels={"x": "y"})
        container_id = await runtime.create_container(sandbox, config)
        created = await self.status(runtime, container_id)
        assert (created.state, created.config, created.sandbox_id) == (ContainerState.CREATED, config, sandbox)
        assert created.started_at == created.finished_at == 0
        await runtime.start_container(container_id)
        ended = await self.ended(runtime, container_id)
        assert (ended.exit_code, ended.reason, ended.message) == (0, "Completed", "")
        assert created.created_at <= ended.started_at <= ended.finished_at

    async def test_a_failure_is_an_error_with_its_code(self, runtime: RuntimeService, sandbox: str) -> None:
        ended = await self.ended(runtime, await self.start(runtime, sandbox, "false"))
        assert (ended.exit_code, ended.reason) == (1, "Error")

    async def test_a_missing_program_is_a_start_error(self, runtime: RuntimeService, sandbox: str) -> None:
        container_id = await runtime.create_container(sandbox, self.container("no-such-program"))
        with pytest.raises(RuntimeFailure, match=r'exec: "no-such-program": executable file not found in \$PATH'):
            await runtime.start_container(container_id)
        ended = await self.ended(runtime, container_id)
        assert (ended.exit_code, ended.reason, ended.started_at) == (128, "StartError", 0)
        assert "no-such-program" in ended.message

    async def test_a_container_starts_once(self, runtime: RuntimeService, sandbox: str) -> None:
        container_id = await self.start(runtime, sandbox, "sleep", "1000")
        with pytest.raises(RuntimeFailure):
            await runtime.start_container(container_id)
        assert (await self.status(runtime, container_id)).state is ContainerState.RUNNING

    async def test_stop_kills_what_ignores_the_signal(self, runtime: RuntimeService, sandbox: str) -> None:
        container_id = await self.start(runtime, sandbox, "sleep", "1000")  # as pid 1 it ignores SIGTERM
        await runtime.stop_container(container_id, 0.1)
        status = await self.status(runtime, container_id)
        assert (status.state, status.exit_code) == (ContainerState.EXITED, 137)
        await runtime.stop_container(container_id, 0.1)

    async def test_removing_a_running_container_kills_it(self, runtime: RuntimeService, sandbox: str) -> None:
        container_id = await self.start(runtime, sandbox, "sleep", "1000")
        await runtime.remove_container(container_id)
        assert await runtime.container_status(container_id) is None
        assert await runtime.list_containers() == []

    async def test_environment_and_directory(
        self, runtime: RuntimeService, sandbox: str, config: SandboxConfig
    ) -> None:
        await self.ended(runtime, await self.start(runtime, sandbox, "printenv", "A", "HOSTNAME", env={"A": "b c"}))
        assert self.log(config) == [("stdout", "F", "b c"), ("stdout", "F", "web-0")]
        await self.ended(runtime, await self.start(runtime, sandbox, "pwd", cwd="/srv/made", log_path="main/1.log"))
        assert self.log(config, "main/1.log") == [("stdout", "F", "/srv/made")]

    async def test_the_log_is_complete_when_the_end_is_known(
        self, runtime: RuntimeService, sandbox: str, config: SandboxConfig
    ) -> None:
        text = "x" * 100_000
        await self.ended(runtime, await self.start(runtime, sandbox, "echo", text))
        lines = self.log(config)
        assert "".join(line for _, _, line in lines) == text
        assert [tag for _, tag, _ in lines] == ["P"] * (len(lines) - 1) + ["F"]

    # events, figures

    async def test_events_tell_a_life(self, runtime: RuntimeService, sandbox: str) -> None:
        seen: asyncio.Queue[ContainerEvent] = asyncio.Queue()
        listening = asyncio.create_task(self.listen(runtime, seen))
        await asyncio.sleep(0.2)
        container_id = await self.start(runtime, sandbox, "true")
        await self.ended(runtime, container_id)
        await runtime.remove_container(container_id)
        async with asyncio.timeout(PATIENCE_SECONDS):
            told = [await seen.get() for _ in range(4)]
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        assert [event.type for event in told] == ["created", "started", "stopped", "deleted"]
        assert {(event.sandbox_id, event.container_id) for event in told} == {(sandbox, container_id)}

    async def test_figures_of_what_runs(self, runtime: RuntimeService, sandbox: str) -> None:
        container_id = await self.start(runtime, sandbox, "sleep", "1000")
        await self.ended(runtime, await self.start(runtime, sandbox, "true", log_path="main/1.log"))
        [first] = await runtime.stats()
        assert (first.container_id, first.sandbox_id) == (container_id, sandbox)
        assert first.memory_working_set_bytes > 0
        [second] = await runtime.stats()
        assert second.cpu_usage_nanoseconds >= first.cpu_usage_nanoseconds
        assert {"tier", "version", "users", "limits", "escalation"} <= set(await runtime.status())

    # exec, attach

    async def test_exec_sync(self, runtime: RuntimeService, sandbox: str) -> None:
        container_id = await self.start(runtime, sandbox, "sleep", "1000", env={"A": "b"})
        result = await runtime.exec_sync(container_id, ["printenv", "A"], PATIENCE_SECONDS)
        assert (result.stdout, result.stderr, result.exit_code) == (b"b\n", b"", 0)
        assert (await runtime.exec_sync(container_id, ["false"], PATIENCE_SECONDS)).exit_code == 1
        with pytest.raises(TimeoutError):
            await runtime.exec_sync(container_id, ["sleep", "1000"], 0.1)
        with pytest.raises(RuntimeFailure, match="executable file not found"):
            await runtime.exec_sync(container_id, ["no-such-program"], PATIENCE_SECONDS)

    async def test_exec_needs_a_running_container(self, runtime: RuntimeService, sandbox: str) -> None:
        container_id = await self.start(runtime, sandbox, "true")
        await self.ended(runtime, container_id)
        with pytest.raises(RuntimeFailure):
            await runtime.exec_sync(container_id, ["true"], PATIENCE_SECONDS)

    async def test_exec_passes_input_through(self, runtime: RuntimeService, sandbox: str) -> None:
        container_id = await self.start(runtime, sandbox, "sleep", "1000")
        session = await runtime.exec(container_id, ["cat"], tty=False, stdin=True)
        assert isinstance(session.stdin, int)
        os.write(session.stdin, b"over and back")
        assert session.stdout is not None
        assert await readable(session.stdout) == b"over and back"
        session.close_stdin()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await session.wait() == 0
        session.close()

    async def test_attach_shows_what_comes_from_now_on(self, runtime: RuntimeService, sandbox: str) -> None:
        container_id = await self.start(runtime, sandbox, "cat", stdin=True)
        session = await runtime.attach(container_id, tty=False, stdin=True)
        assert isinstance(session.stdin, int)
        assert session.stdout is not None
        os.write(session.stdin, b"hello\n")
        assert await readable(session.stdout) == b"hello\n"
        await runtime.stop_container(container_id, 0)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await session.wait() == 137
        session.close()

    # helpers

    async def status(self, runtime: RuntimeService, container_id: str) -> ContainerStatus:
        status = await runtime.container_status(container_id)
        assert status is not None
        return status

    async def ended(self, runtime: RuntimeService, container_id: str) -> ContainerStatus:
        """Its status once it has ended."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (status := await self.status(runtime, container_id)).state is not ContainerState.EXITED:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return status

    async def listen(self, runtime: RuntimeService, into: asyncio.Queue[ContainerEvent]) -> None:
        async for event in runtime.events():
            if event.container_id:
                into.put_nowait(event)

    def log(self, config: SandboxConfig, path: str = "main/0.log") -> list[tuple[str, str, str]]:
        """(stream, tag, text) of every record."""
        lines = (config.log_directory / path).read_text().splitlines()
        return [(stream, tag, text) for _, stream, tag, text in (line.split(" ", 3) for line in lines)]


def sandbox_config(folder: Path, name: str = "web-0", ip: str = "10.244.0.7", **fields: Any) -> SandboxConfig:
    """A sandbox below `folder`."""
    return SandboxConfig(
        uid=f"uid-{name}",
        name=name,
        namespace="shop",
        hostname=name,
        ip=ip,
        log_directory=folder / "logs" / name,
        directory=folder / "pods" / name,
        **fields,
    )


async def readable(fd: int) -> bytes:
    """What comes out of a non-blocking descriptor first."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ready.wait()
    finally:
        loop.remove_reader(fd)
    return os.read(fd, 65536)


__all__: Sequence[str] = ["RuntimeContract", "readable", "sandbox_config"]
