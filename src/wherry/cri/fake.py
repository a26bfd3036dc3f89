"""A runtime in memory that keeps the same promises as the real one: it passes `testing/contracts/cri.py`.

Not a mock: sandboxes, containers, logs (real files in CRI's format), exec, attach and events behave as on Linux, only the
programs are pretended. `programs` maps argv[0] to a coroutine (fake_programs.py). Time is `clock`'s,
so that it also works in virtual time. Tasks belong to it until `close`.
Long because it is one runtime: sandboxes, containers, logs, exec and events keep their promises together.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from random import Random

from msgspec import Struct, field
from msgspec.structs import replace

from wherry.aio.clock import Clock
from wherry.cri.fake_programs import PROGRAMS, Process, Program
from wherry.cri.fake_streams import FakeSession, Output, pipe, write_some
from wherry.cri.interface import (
    ContainerConfig,
    ContainerEvent,
    ContainerState,
    ContainerStats,
    ContainerStatus,
    ExecResult,
    RuntimeFailure,
    SandboxConfig,
    SandboxState,
    SandboxStatus,
)
from wherry.launcher.protocol import close_fds

KILLED = 128 + 9
EVENTS_MAX = 8192  # a listener further behind than this is cut off, as by the launcher


class _Container(Struct):
    status: ContainerStatus
    task: asyncio.Future[int] | None = None
    process: Process | None = None
    tees: list[tuple[str, int]] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    stdin: tuple[int, int] | None = None


class FakeRuntime:
    """`RuntimeService` without a kernel."""

    def __init__(self, clock: Clock, rng: Random, programs: Mapping[str, Program] = PROGRAMS) -> None:
        self.users = ""
        """Why containers do not run as the users they are started for."""
        self._clock = clock
        self._rng = rng
        self._programs = programs
        self._sandboxes: dict[str, SandboxStatus] = {}
        self._containers: dict[str, _Container] = {}
        self._listeners: list[asyncio.Queue[ContainerEvent]] = []
        self._tasks: set[asyncio.Future[int]] = set()

    # sandboxes

    async def run_pod_sandbox(self, config: SandboxConfig) -> str:
        sandbox_id = self._new_id()
        config.log_directory.mkdir(parents=True, exist_ok=True)
        config.directory.mkdir(parents=True, exist_ok=True)
        self._sandboxes[sandbox_id] = SandboxStatus(sandbox_id, config, SandboxState.READY, self._clock.time())
        self._tell(sandbox_id, "", "started")
        return sandbox_id

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None or sandbox.state is SandboxState.NOTREADY:
            return
        for container in self._of(sandbox_id):
            await self._kill(container)
        self._sandboxes[sandbox_id] = replace(sandbox, state=SandboxState.NOTREADY)
        self._tell(sandbox_id, "", "stopped")

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        await self.stop_pod_sandbox(sandbox_id)
        sandbox = self._sandboxes.pop(sandbox_id, None)
        if sandbox is None:
            return
        for container in self._of(sandbox_id):
            await self.remove_container(container.status.id)
        await self.remove_tree(sandbox.config.directory)
        self._tell(sandbox_id, "", "deleted")

    async def list_pod_sandboxes(self) -> Sequence[SandboxStatus]:
        return list(self._sandboxes.values())

    # containers

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None or sandbox.state is not SandboxState.READY:
            raise RuntimeFailure("CreateContainerError", f"sandbox {sandbox_id[:12]} is not running")
        container_id = self._new_id()
        status = ContainerStatus(container_id, sandbox_id, config, ContainerState.CREATED, self._clock.time())
        self._containers[container_id] = _Container(status)
        self._tell(sandbox_id, container_id, "created")
        return container_id

    async def start_container(self, container_id: str) -> None:
        container = self._container(container_id)
        status = container.status
        if status.state is not ContainerState.CREATED:
            raise RuntimeFailure("RunContainerError", f"container {container_id[:12]} was started before")
        sandbox = self._sandboxes[status.sandbox_id]
        if sandbox.state is not SandboxState.READY:
            raise RuntimeFailure("RunContainerError", f"sandbox {status.sandbox_id[:12]} is not running")
        now = self._clock.time()
        try:
            program = self._program(status.config.argv)
        except RuntimeFailure as failure:
            self._exit(container, 128, "StartError", str(failure))
            raise
        if status.config.stdin:
            container.stdin = pipe()
        container.status = replace(status, state=ContainerState.RUNNING, started_at=now, pid=1)
        writer = Output(self._clock, sandbox.config.log_directory / status.config.log_path, container.tees)
        container.process = self._process(container, status.config.argv, writer.write)
        container.process.stdin = container.stdin[0] if container.stdin else None
        container.task = asyncio.ensure_future(program(container.process))
        container.task.add_done_callback(lambda task: self._finish(container, task, writer))
        self._tell(status.sandbox_id, container_id, "started")

    def _finish(self, container: _Container, task: asyncio.Future[int], writer: Output) -> None:
        """Also of one that was killed before its first step."""
        writer.close()
        for fd in container.stdin or ():
            os.close(fd)
        container.stdin = None
        code = KILLED if task.cancelled() else task.result()
        self._exit(container, code, "Completed" if code == 0 else "Error", "")

    def _exit(self, container: _Container, code: int, reason: str, message: str) -> None:
        container.status = replace(
            container.status,
            state=ContainerState.EXITED,
            finished_at=self._clock.time(),
            exit_code=code,
            reason=reason,
            message=message,
        )
        container.ended.set()
        self._tell(container.status.sandbox_id, container.status.id, "stopped")

    async def stop_container(self, container_id: str, grace_seconds: float, signal: str = "SIGTERM") -> None:
        container = self._containers.get(container_id)
        if container is None or container.process is None:
            return
        if grace_seconds > 0:
            container.process.signals.put_nowait(signal)
            try:
                async with asyncio.timeout(grace_seconds):
                    await container.ended.wait()
            except TimeoutError:
                pass
        await self._kill(container)

    async def _kill(self, container: _Container) -> None:
        if container.task is not None and not container.task.done():
            container.task.cancel()
            await container.ended.wait()

    async def remove_container(self, container_id: str) -> None:
        container = self._containers.get(container_id)
        if container is None:
            return
        await self._kill(container)
        self._containers.pop(container_id, None)
        self._tell(container.status.sandbox_id, container_id, "deleted")

    async def list_containers(self) -> Sequence[ContainerStatus]:
        return [container.status for container in self._containers.values()]

    async def container_status(self, container_id: str) -> ContainerStatus | None:
        container = self._containers.get(container_id)
        return container.status if container is not None else None

    async def events(self) -> AsyncIterator[ContainerEvent]:
        queue: asyncio.Queue[ContainerEvent] = asyncio.Queue()
        self._listeners.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue)

    # processes beside

    async def exec_sync(self, container_id: str, argv: Sequence[str], timeout: float) -> ExecResult:
        output: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        container = self._running(container_id)
        program = self._program(argv)
        process = self._process(container, argv, lambda name, data: output[name].extend(data))
        async with asyncio.timeout(timeout if timeout > 0 else None):
            code = await program(process)
        return ExecResult(bytes(output["stdout"]), bytes(output["stderr"]), code)

    async def exec(self, container_id: str, argv: Sequence[str], *, tty: bool, stdin: bool) -> FakeSession:
        container = self._running(container_id)
        program = self._program(argv)
        out, err = pipe(), pipe()
        given = pipe() if stdin else None
        writers = {"stdout": out[1], "stderr": out[1] if tty else err[1]}
        process = self._process(container, argv, lambda name, data: write_some(writers[name], data))
        process.stdin = given[0] if given else None

        ends = [out[1], err[1], *([given[0]] if given else [])]
        task = asyncio.ensure_future(program(process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: close_fds(ends))

        async def end() -> int:
            return await asyncio.shield(task)

        session = FakeSession(given[1] if given else None, out[0], err[0], end)
        session.task = task
        return session

    async def attach(self, container_id: str, *, tty: bool, stdin: bool) -> FakeSession:
        container = self._running(container_id)
        out, err = pipe(), pipe()
        container.tees += [("stdout", out[1]), ("stderr", err[1])]
        given = os.dup(container.stdin[1]) if stdin and container.stdin else None

        async def end() -> int:
            await container.ended.wait()
            return container.status.exit_code

        return FakeSession(given, out[0], err[0], end)

    async def dial(self, sandbox_id: str, port: int, host: str = "127.0.0.1") -> socket.socket:
        raise ConnectionRefusedError(111, f"nothing listens on {host}:{port} of a pretended sandbox")

    # the rest

    async def container_upper(self, container_id: str) -> Path:
        container = self._container(container_id)
        upper = self._sandboxes[container.status.sandbox_id].config.directory / container_id[:16] / "upper"
        upper.mkdir(parents=True, exist_ok=True)
        return upper

    async def archive_upper(self, container_id: str, output: int) -> None:
        self._container(container_id)
        os.write(output, bytes(1024))  # an empty tar: a pretended program writes no files

    async def remove_tree(self, path: Path) -> None:
        for directory, folders, files in os.walk(path, topdown=False):
            for name in files:
                os.unlink(Path(directory) / name)
            for name in folders:
                os.rmdir(Path(directory) / name)
        if os.path.isdir(path):  # noqa: ASYNC240 -- a fake's few files
            os.rmdir(path)

    async def reopen_container_log(self, container_id: str) -> None:
        self._running(container_id)

    async def stats(self) -> Sequence[ContainerStats]:
        now = self._clock.time()
        return [
            ContainerStats(
                each.status.id, each.status.sandbox_id, now, int((now - each.status.started_at) * 1e6), 1 << 20
            )
            for each in self._containers.values()
            if each.status.state is ContainerState.RUNNING
        ]

    async def status(self) -> Mapping[str, str]:
        return {"tier": "fake", "version": "1", "users": self.users, "limits": "nothing runs", "escalation": ""}

    async def close(self) -> None:
        """End everything."""
        for container in list(self._containers.values()):
            await self._kill(container)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _process(self, container: _Container, argv: Sequence[str], write: Callable[[str, bytes], None]) -> Process:
        config = container.status.config
        hostname = self._sandboxes[container.status.sandbox_id].config.hostname
        return Process(argv, {"HOSTNAME": hostname, **config.env}, config.cwd, self._clock, write)

    def _program(self, argv: Sequence[str]) -> Program:
        program = self._programs.get(argv[0])
        if program is None:
            raise RuntimeFailure("StartError", f'exec: "{argv[0]}": executable file not found in $PATH')
        return program

    def _container(self, container_id: str) -> _Container:
        container = self._containers.get(container_id)
        if container is None:
            raise RuntimeFailure("ContainerNotFound", f"there is no container {container_id[:12]}")
        return container

    def _running(self, container_id: str) -> _Container:
        container = self._container(container_id)
        if container.status.state is not ContainerState.RUNNING:
            raise RuntimeFailure("NotRunning", f"container {container_id[:12]} is not running")
        return container

    def _of(self, sandbox_id: str) -> list[_Container]:
        return [container for container in self._containers.values() if container.status.sandbox_id == sandbox_id]

    def _tell(self, sandbox_id: str, container_id: str, kind: str) -> None:
        for queue in self._listeners:
            assert queue.qsize() < EVENTS_MAX, "a listener does not listen"
            queue.put_nowait(ContainerEvent(sandbox_id, container_id, kind))

    def _new_id(self) -> str:
        return f"{self._rng.getrandbits(256):064x}"
