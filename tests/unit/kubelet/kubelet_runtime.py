"""A runtime whose containers do what a test says: run, end after a while, fail to start, ignore SIGTERM, serve a port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from wherry.aio.clock import Clock
from wherry.cri.interface import (
    ContainerConfig,
    ContainerEvent,
    ContainerState,
    ContainerStats,
    ContainerStatus,
    ExecResult,
    ExecSession,
    RegistryAuth,
    RuntimeFailure,
    SandboxConfig,
    SandboxState,
    SandboxStatus,
)
from wherry.images.rootfs import Image, RootFS

Serve = Callable[[socket.socket], Awaitable[None]]


@dataclass(slots=True)
class Behaviour:
    """One life of a container."""

    runs_seconds: float | None = None
    """None: until it is stopped."""
    exit_code: int = 0
    term_seconds: float = 0.0
    """How long it takes to end after SIGTERM; None of it counts after SIGKILL."""
    start_failure: RuntimeFailure | None = None
    message: str = ""


class ScriptedRuntime:
    """`script[name]` lists the lives of containers of that name; the last one repeats. Times come from `clock`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.script: dict[str, list[Behaviour]] = {}
        self.calls: list[tuple[str, str]] = []
        self.servers: dict[int, Serve] = {}
        self.exec_results: dict[str, ExecResult | Exception] = {}
        self.sandboxes: dict[str, SandboxStatus] = {}
        self.containers: dict[str, ContainerStatus] = {}
        self.away = False
        self.sandbox_failures: list[RuntimeFailure] = []
        self._listeners: list[asyncio.Queue[ContainerEvent | None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._next = 0

    def said(self, verb: str) -> list[str]:
        return [name for called, name in self.calls if called == verb]

    def names_started(self) -> list[str]:
        return self.said("start")

    def _id(self, kind: str) -> str:
        self._next += 1
        return f"{kind}{self._next}"

    def _tell(self, container: ContainerStatus | None, kind: str, sandbox_id: str = "") -> None:
        event = ContainerEvent(
            container.sandbox_id if container else sandbox_id, container.id if container else "", kind
        )
        for listener in self._listeners:
            listener.put_nowait(event)

    def _check(self) -> None:
        if self.away:
            raise ConnectionError("the launcher is away")

    async def run_pod_sandbox(self, config: SandboxConfig) -> str:
        self._check()
        await asyncio.sleep(0.001)
        if self.sandbox_failures:
            raise self.sandbox_failures.pop(0)
        sandbox_id = self._id("sandbox")
        self.sandboxes[sandbox_id] = SandboxStatus(sandbox_id, config, SandboxState.READY, self.clock.time())
        self.calls.append(("run_sandbox", config.name))
        self._tell(None, "created", sandbox_id)
        return sandbox_id

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        self._check()
        sandbox = self.sandboxes.get(sandbox_id)
        if sandbox is None or sandbox.state is SandboxState.NOTREADY:
            return
        for container in list(self.containers.values()):
            if container.sandbox_id == sandbox_id and container.state is ContainerState.RUNNING:
                self._exit(container.id, 137)
        self.sandboxes[sandbox_id] = replace(sandbox, state=SandboxState.NOTREADY)
        self.calls.append(("stop_sandbox", sandbox.config.name))
        self._tell(None, "stopped", sandbox_id)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        self._check()
        if self.sandboxes.pop(sandbox_id, None) is not None:
            self._tell(None, "deleted", sandbox_id)

    async def list_pod_sandboxes(self) -> Sequence[SandboxStatus]:
        self._check()
        return list(self.sandboxes.values())

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        self._check()
        container_id = self._id("c")
        status = ContainerStatus(container_id, sandbox_id, config, ContainerState.CREATED, self.clock.time())
        self.containers[container_id] = status
        self._tell(status, "created")
        return container_id

    async def start_container(self, container_id: str) -> None:
        self._check()
        await asyncio.sleep(0.001)
        status = self.containers[container_id]
        lives = self.script.get(status.config.name) or [Behaviour()]
        behaviour = lives[min(status.config.attempt, len(lives) - 1)]
        now = self.clock.time()
        if behaviour.start_failure is not None:
            self.containers[container_id] = replace(
                status, state=ContainerState.EXITED, exit_code=128, reason="StartError", started_at=0, finished_at=now
            )
            self._tell(self.containers[container_id], "stopped")
            raise behaviour.start_failure
        self.calls.append(("start", status.config.name))
        self.containers[container_id] = replace(status, state=ContainerState.RUNNING, started_at=now, pid=1)
        self._tell(self.containers[container_id], "started")
        if behaviour.runs_seconds is not None:
            self._later(self._live(container_id, behaviour.runs_seconds, behaviour.exit_code))

    async def _live(self, container_id: str, seconds: float, exit_code: int) -> None:
        await asyncio.sleep(seconds)
        self._exit(container_id, exit_code)

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _exit(self, container_id: str, exit_code: int) -> None:
        status = self.containers.get(container_id)
        if status is None or status.state is not ContainerState.RUNNING:
            return
        reason = "Completed" if exit_code == 0 else "Error"
        self.containers[container_id] = replace(
            status, state=ContainerState.EXITED, exit_code=exit_code, reason=reason, finished_at=self.clock.time()
        )
        self.calls.append(("exit", status.config.name))
        self._tell(self.containers[container_id], "stopped")

    def kill(self, name: str, exit_code: int = 137) -> None:
        """The running container of that name ends by itself."""
        for status in list(self.containers.values()):
            if status.config.name == name and status.state is ContainerState.RUNNING:
                self._exit(status.id, exit_code)

    def lose_everything(self, *, forget: bool) -> None:
        """The launcher has died and come back: everything has ended; `forget`: and is not even remembered."""
        now = self.clock.time()
        for sandbox in list(self.sandboxes.values()):
            self.sandboxes[sandbox.id] = replace(sandbox, state=SandboxState.NOTREADY)
        for container in list(self.containers.values()):
            if container.state is ContainerState.RUNNING:
                self.containers[container.id] = replace(
                    container, state=ContainerState.EXITED, exit_code=255, reason="Unknown", finished_at=now
                )
        if forget:
            self.sandboxes.clear()
            self.containers.clear()
        for listener in self._listeners:
            listener.put_nowait(None)

    async def stop_container(self, container_id: str, grace_seconds: float, signal: str = "SIGTERM") -> None:
        self._check()
        status = self.containers.get(container_id)
        if status is None or status.state is not ContainerState.RUNNING:
            return
        self.calls.append(("stop", f"{status.config.name} {grace_seconds:g}"))
        lives = self.script.get(status.config.name) or [Behaviour()]
        needs = lives[min(status.config.attempt, len(lives) - 1)].term_seconds
        await asyncio.sleep(min(needs, grace_seconds))
        self._exit(container_id, 137 if needs > grace_seconds else 143)

    async def remove_container(self, container_id: str) -> None:
        self._check()
        status = self.containers.pop(container_id, None)
        if status is not None:
            self._tell(status, "deleted")

    async def list_containers(self) -> Sequence[ContainerStatus]:
        self._check()
        return list(self.containers.values())

    async def container_status(self, container_id: str) -> ContainerStatus | None:
        self._check()
        return self.containers.get(container_id)

    async def events(self) -> AsyncIterator[ContainerEvent]:
        self._check()
        queue: asyncio.Queue[ContainerEvent | None] = asyncio.Queue()
        self._listeners.append(queue)
        try:
            while True:
                event = await queue.get()
                if event is None:
                    raise ConnectionError("the launcher went away")
                yield event
        finally:
            self._listeners.remove(queue)

    async def exec_sync(self, container_id: str, argv: Sequence[str], timeout: float) -> ExecResult:
        self._check()
        self.calls.append(("exec", " ".join(argv)))
        result = self.exec_results.get(argv[0], ExecResult(b"", b"", 0))
        if isinstance(result, Exception):
            raise result
        return result

    async def exec(self, container_id: str, argv: Sequence[str], *, tty: bool, stdin: bool) -> ExecSession:
        raise NotImplementedError

    async def attach(self, container_id: str, *, tty: bool, stdin: bool) -> ExecSession:
        raise NotImplementedError

    async def dial(self, sandbox_id: str, port: int, host: str = "127.0.0.1") -> socket.socket:
        self._check()
        serve = self.servers.get(port)
        if serve is None:
            raise ConnectionRefusedError(111, "Connection refused")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._later(serve(theirs))
        return ours

    async def reopen_container_log(self, container_id: str) -> None: ...

    async def stats(self) -> Sequence[ContainerStats]:
        return [
            ContainerStats(
                each.id, each.sandbox_id, self.clock.time(), int((self.clock.time() - each.started_at) * 1e8), 1 << 20
            )
            for each in self.containers.values()
            if each.state is ContainerState.RUNNING
        ]

    async def status(self) -> Mapping[str, str]:
        return {"tier": "test", "version": "0.1.0"}


class ListedImages:
    """The local store of a test: every name is present unless it is listed as missing."""

    def __init__(self) -> None:
        self.missing: dict[str, RuntimeFailure | None] = {}
        """Images to pull: with a failure, or None when the pull succeeds."""
        self.pulls: list[str] = []
        self.auths: list[Mapping[str, RegistryAuth]] = []
        self.config: dict[str, object] = {"Entrypoint": ["/bin/app"], "Env": ["IMAGE=1"]}

    def _image(self, reference: str) -> Image:
        return Image("sha256:1", (reference,), RootFS(), 100, dict(self.config))

    async def image_status(self, reference: str) -> Image | None:
        return None if reference in self.missing else self._image(reference)

    async def pull_image(self, reference: str, auths: Mapping[str, RegistryAuth]) -> Image:
        self.pulls.append(reference)
        self.auths.append(auths)
        await asyncio.sleep(0.5)
        failure = self.missing.get(reference)
        if failure is not None:
            raise failure
        self.missing.pop(reference, None)
        return self._image(reference)

    async def list_images(self) -> Sequence[Image]:
        return [self._image("app:1")]

    async def remove_image(self, reference: str) -> None: ...


def http_server(status: Callable[[], int]) -> Serve:
    """Answers every request with what `status()` says then."""

    async def serve(connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 {status()} x\r\nContent-Length: 2\r\n\r\nok".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    return serve
