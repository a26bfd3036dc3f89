"""A runtime whose containers do what a test says: run, end after a while, fail to start, ignore SIGTERM, serve a port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from msgspec.structs import replace

from wherry.aio.clock import Clock
from wherry.cri.fake import FakeRuntime, Process, Program
from wherry.cri.interface import (
    ContainerEvent,
    ExecResult,
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
    """How long it takes to end after SIGTERM."""
    start_failure: RuntimeFailure | None = None
    output: bytes = b""

    async def run(self, process: Process) -> int:
        if self.output:
            process.write("stdout", self.output)
        try:
            async with asyncio.timeout(self.runs_seconds):
                await process.signals.get()
        except TimeoutError:
            return self.exit_code
        await process.clock.sleep(self.term_seconds)
        return 143


class Programs(dict[str, Program]):
    """What a container runs is named after it (`World.create` sees to that); who is not in the script runs until stopped."""

    def __init__(self, script: dict[str, list[Behaviour]], lives: dict[str, int]) -> None:
        super().__init__()
        self._script = script
        self._lives = lives

    def get(self, name: str, default: Any = None) -> Program:
        behaviours = self._script.get(name) or [Behaviour()]
        life = self._lives.get(name, 0)
        self._lives[name] = life + 1
        behaviour = behaviours[min(life, len(behaviours) - 1)]
        if behaviour.start_failure is not None:
            raise behaviour.start_failure
        return behaviour.run


class ScriptedRuntime(FakeRuntime):
    """The fake runtime with its calls written down and a few faults. `script[name]` lists the lives of containers of that
    name; the last one repeats."""

    def __init__(self, clock: Clock) -> None:
        self.script: dict[str, list[Behaviour]] = {}
        super().__init__(clock, Random(3), Programs(self.script, {}))
        self.calls: list[tuple[str, str]] = []
        self.servers: dict[int, Serve] = {}
        self.exec_results: dict[str, ExecResult | Exception] = {}
        self.sandbox_failures: list[RuntimeFailure] = []
        self._serving: set[asyncio.Future[None]] = set()
        self._gone = asyncio.Event()

    @property
    def sandboxes(self) -> dict[str, SandboxStatus]:
        return self._sandboxes

    @property
    def containers(self) -> dict[str, Any]:
        return self._containers

    def said(self, verb: str) -> list[str]:
        return [name for called, name in self.calls if called == verb]

    def names_started(self) -> list[str]:
        return self.said("start")

    async def run_pod_sandbox(self, config: SandboxConfig) -> str:
        await asyncio.sleep(0.001)
        if self.sandbox_failures:
            raise self.sandbox_failures.pop(0)
        return await super().run_pod_sandbox(config)

    async def start_container(self, container_id: str) -> None:
        await asyncio.sleep(0.001)
        await super().start_container(container_id)
        self.calls.append(("start", self._containers[container_id].status.config.name))

    async def stop_container(self, container_id: str, grace_seconds: float, signal: str = "SIGTERM") -> None:
        self.calls.append(("stop", f"{self._containers[container_id].status.config.name} {grace_seconds:g}"))
        await super().stop_container(container_id, grace_seconds, signal)

    def _exit(self, container: Any, code: int, reason: str, message: str) -> None:
        super()._exit(container, code, reason, message)
        self.calls.append(("exit", container.status.config.name))

    def refuse(self, name: str, text: str) -> None:
        """A program of the container asks for what it cannot have."""
        found = next(each for each in self._containers.values() if each.status.config.name == name)
        for queue in self._listeners:
            queue.put_nowait(ContainerEvent(found.status.sandbox_id, found.status.id, "notice", text))

    def kill(self, name: str) -> None:
        """The running container of that name ends by itself."""
        for container in self._containers.values():
            if container.status.config.name == name and container.task is not None:
                container.task.cancel()

    async def close(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await super().close()

    async def lose_everything(self, *, forget: bool) -> None:
        """The launcher has died and come back: everything has ended; `forget`: and is not even remembered."""
        for container in list(self._containers.values()):
            await self._kill(container)
        for sandbox in list(self._sandboxes.values()):
            self._sandboxes[sandbox.id] = replace(sandbox, state=SandboxState.NOTREADY)
        if forget:
            self._sandboxes.clear()
            self._containers.clear()
        self._gone.set()
        self._gone = asyncio.Event()

    async def events(self) -> AsyncIterator[ContainerEvent]:
        gone = asyncio.ensure_future(self._gone.wait())
        stream = super().events()
        try:
            while True:
                event = asyncio.ensure_future(anext(stream))
                await asyncio.wait((gone, event), return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    event.cancel()
                    await asyncio.wait((event,))
                    raise ConnectionError("the launcher went away")
                yield event.result()
        finally:
            gone.cancel()

    async def exec_sync(self, container_id: str, argv: Sequence[str], timeout: float) -> ExecResult:
        self._running(container_id)
        self.calls.append(("exec", " ".join(argv)))
        result = self.exec_results.get(argv[0], ExecResult(b"", b"", 0))
        if isinstance(result, Exception):
            raise result
        return result

    async def dial(self, sandbox_id: str, port: int, host: str = "127.0.0.1") -> socket.socket:
        serve = self.servers.get(port)
        if serve is None:
            raise ConnectionRefusedError(111, "Connection refused")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        task = asyncio.ensure_future(serve(theirs))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return ours


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
