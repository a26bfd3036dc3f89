"""CRI's RuntimeService on Linux: every call is a request to the launcher.

It reconnects by itself: while the launcher is away calls raise ConnectionError, and when another one runs, its sandboxes
(none, at first) are what is listed.
"""

from __future__ import annotations

import asyncio
import os
import signal as signals
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from wherry.cri import wire
from wherry.cri.interface import (
    ContainerConfig,
    ContainerEvent,
    ContainerStats,
    ContainerStatus,
    ExecResult,
    RuntimeFailure,
    SandboxConfig,
    SandboxStatus,
)
from wherry.cri.session import LauncherSession
from wherry.launcher.client import LauncherClient, LauncherError, Reply

VERSION = "1"
_FACTS = ("tier", "users", "limits", "escalation", "not_isolated")
OUTPUT_BYTES_MAX = 16 * 1024 * 1024  # of exec_sync, as CRI's implementations bound it
DRAIN_SECONDS = 0.5  # how long output may trail the end of an exec'ed process; a child it left behind holds the pipe


class LinuxRuntime:
    """`RuntimeService` through the launcher's socket at `path`. Ids come from `rng`."""

    def __init__(self, path: Path, rng: Random) -> None:
        self._path = path
        self._rng = rng
        self._client: LauncherClient | None = None
        self._connecting = asyncio.Lock()

    async def run_pod_sandbox(self, config: SandboxConfig) -> str:
        sandbox_id = self._new_id()
        await self._call("sandbox.run", id=sandbox_id, config=wire.sandbox_spec(config))
        return sandbox_id

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        await self._call("sandbox.stop", id=sandbox_id)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        await self._call("sandbox.stop", id=sandbox_id)
        await self._call("sandbox.remove", id=sandbox_id)

    async def list_pod_sandboxes(self) -> Sequence[SandboxStatus]:
        reply = await self._call("sandbox.list")
        return [wire.sandbox_status(item) for item in reply.args["items"]]

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        container_id = self._new_id()
        await self._call("container.create", id=container_id, sandbox=sandbox_id, config=wire.container_spec(config))
        return container_id

    async def start_container(self, container_id: str) -> None:
        await self._call("container.start", id=container_id)

    async def stop_container(self, container_id: str, grace_seconds: float, signal: str = "SIGTERM") -> None:
        if grace_seconds > 0:
            await self._call("container.kill", id=container_id, signal=signal_number(signal))
            try:
                async with asyncio.timeout(grace_seconds):
                    await self._call("container.wait", id=container_id)
                    return
            except TimeoutError:
                pass
        await self._call("container.kill", id=container_id, signal=int(signals.SIGKILL))
        await self._call("container.wait", id=container_id)

    async def remove_container(self, container_id: str) -> None:
        await self.stop_container(container_id, 0)
        await self._call("container.remove", id=container_id)

    async def list_containers(self) -> Sequence[ContainerStatus]:
        reply = await self._call("container.list")
        return [wire.container_status(item) for item in reply.args["items"]]

    async def container_status(self, container_id: str) -> ContainerStatus | None:
        try:
            reply = await (await self._connected()).call("container.status", id=container_id)
        except LauncherError as error:
            if error.reason == "NotFound":
                return None
            _fail(error)
        return wire.container_status(reply.args["item"])

    async def events(self) -> AsyncIterator[ContainerEvent]:
        client = await self._connected()
        async for event in client.events():
            yield ContainerEvent(event["sandbox_id"], event["container_id"], event["type"], event.get("text", ""))

    async def exec_sync(self, container_id: str, argv: Sequence[str], timeout: float) -> ExecResult:
        async with asyncio.timeout(timeout if timeout > 0 else None):
            session = await self.exec(container_id, argv, tty=False, stdin=False)
            try:
                assert session.stdout is not None
                assert session.stderr is not None
                stdout, stderr = bytearray(), bytearray()
                readers = [
                    asyncio.create_task(_collect(session.stdout, stdout)),
                    asyncio.create_task(_collect(session.stderr, stderr)),
                ]
                try:
                    code = await session.wait()
                    await asyncio.wait(readers, timeout=DRAIN_SECONDS)
                finally:
                    for reader in readers:
                        reader.cancel()
                    await asyncio.gather(*readers, return_exceptions=True)
                return ExecResult(bytes(stdout), bytes(stderr), code)
            finally:
                session.close()

    async def exec(self, container_id: str, argv: Sequence[str], *, tty: bool, stdin: bool) -> LauncherSession:
        reply = await self._call("container.exec", id=container_id, argv=list(argv), tty=tty, stdin=stdin)
        return LauncherSession(reply.args, reply.fds, tty=tty)

    async def attach(self, container_id: str, *, tty: bool, stdin: bool) -> LauncherSession:
        reply = await self._call("container.attach", id=container_id, stdin=stdin)
        return LauncherSession(reply.args, reply.fds, tty=tty)

    async def dial(self, sandbox_id: str, port: int, host: str = "127.0.0.1") -> socket.socket:
        ipv6 = ":" in host
        reply = await self._call("sandbox.socket", id=sandbox_id, ipv6=ipv6, host=host, port=port)
        if "address" in reply.args:  # tier proc: the pod's port is somewhere of the machine's
            host, port = reply.args["address"]
            ipv6 = False
        if reply.fds:
            sock = socket.socket(fileno=reply.fds[0])
        else:  # its network is the host's, where we are
            sock = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def container_upper(self, container_id: str) -> Path:
        return Path((await self._call("container.upper", id=container_id)).args["path"])

    async def archive_upper(self, container_id: str, output: int) -> None:
        await self._call("container.archive", fds=[output], id=container_id)

    async def remove_tree(self, path: Path) -> None:
        await self._call("tree.remove", path=str(path))

    async def reopen_container_log(self, container_id: str) -> None:
        await self._call("container.reopen_log", id=container_id)

    async def stats(self) -> Sequence[ContainerStats]:
        reply = await self._call("stats")
        return [ContainerStats(**item) for item in reply.args["items"]]

    async def status(self) -> Mapping[str, str]:
        """`tier`, `version`; `users`, `limits`, `escalation` and `not_isolated` are empty when given, else they say why not."""
        reply = await self._call("ping")
        return {"version": VERSION, **{name: str(reply.args[name]) for name in _FACTS}}

    def close(self) -> None:
        """Hang up; pods are the launcher's and stay."""
        if self._client is not None:
            self._client.close()

    async def _connected(self) -> LauncherClient:
        async with self._connecting:
            if self._client is None or self._client.closed.is_set():
                client = LauncherClient(self._path)
                try:
                    await client.connect()
                except OSError as error:
                    text = os.strerror(error.errno or 0)
                    raise ConnectionError(f"no launcher answers at {self._path}: {text}") from error
                self._client = client
            return self._client

    async def _call(self, op: str, /, fds: Sequence[int] = (), **args: Any) -> Reply:
        client = await self._connected()
        try:
            return await client.call(op, fds, **args)
        except LauncherError as error:
            _fail(error)

    def _new_id(self) -> str:
        return f"{self._rng.getrandbits(256):064x}"


def signal_number(name: str) -> int:
    """`SIGTERM`, `TERM`, `SIGRTMIN+3` or a number, as images write their STOPSIGNAL. Raises RuntimeFailure."""
    if name.isdigit():
        return int(name)
    base, _, offset = name.upper().removeprefix("SIG").partition("+")
    try:
        return int(signals.Signals[f"SIG{base}"]) + int(offset or 0)
    except (KeyError, ValueError):
        raise RuntimeFailure("InvalidArgument", f"unknown signal {name!r}") from None


_REASONS = {"Kernel": "RunContainerError", "InternalError": "RunContainerError", "NotFound": "ContainerNotFound"}


def _fail(error: LauncherError) -> NoReturn:
    raise RuntimeFailure(_REASONS.get(error.reason, error.reason), error.message) from error


async def _collect(fd: int, into: bytearray) -> None:
    """Everything until the end, or OUTPUT_BYTES_MAX; what is above is read and dropped."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            data = os.read(fd, 64 * 1024)
        except BlockingIOError:
            readable = asyncio.Event()
            loop.add_reader(fd, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(fd)
            continue
        if not data:
            return
        into += data[: OUTPUT_BYTES_MAX - len(into)]
