"""What the launcher remembers of sandboxes and containers: it outlives agents, and is what they list after a restart."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from wherry.launcher import stats
from wherry.launcher.connection import Connection
from wherry.launcher.protocol import LauncherError, Message
from wherry.launcher.requests import Request
from wherry.launcher.specs import ContainerSpec, SandboxSpec

READY, NOTREADY = "SANDBOX_READY", "SANDBOX_NOTREADY"
CREATED, RUNNING, EXITED = "CONTAINER_CREATED", "CONTAINER_RUNNING", "CONTAINER_EXITED"


LOOKS_MAX = 100  # for what is left of a container: nobody else is answered meanwhile


def wall_time() -> float:
    """Unix seconds, for when things began and ended. The launcher has no event loop to take a clock from."""
    return time.time()


@dataclass(slots=True)
class Sandbox:
    """`init` is the conversation with the pod's init, `netns` and `pidfd` are -1 once it has ended."""

    id: str
    spec: SandboxSpec
    created_at: float
    state: str = NOTREADY
    init: Connection | None = None
    pidfd: int = -1
    netns: int = -1
    waiting: list[Request] = field(default_factory=list)
    """Those who stop it and wait for its end."""

    def describe(self) -> dict[str, Any]:
        return {"id": self.id, "config": self.spec, "state": self.state, "created_at": self.created_at}


@dataclass(slots=True)
class Container:
    id: str
    sandbox_id: str
    spec: ContainerSpec
    directory: str
    created_at: float
    state: str = CREATED
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    pid: int = 0
    namespace: str = ""
    pin: int = -1
    """Its mount namespace while it lives, where that is what its processes have in common: the kernel gives the number of one
    that has gone to the next at once, and who is killed by that number would be another container."""
    starting: bool = False
    waiting: list[Request] = field(default_factory=list)
    """Those who wait for its end."""

    def describe(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "sandbox_id": self.sandbox_id,
            "config": self.spec,
            "state": self.state,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "exit_code": self.exit_code,
            "reason": self.reason,
            "message": self.message,
            "pid": self.pid,
        }

    def end(self, code: int, at: float, *, oom: bool, failure: dict[str, str] | None) -> None:
        """Its first process is gone, or never became the program."""
        self.state = EXITED
        self.finished_at = at
        self.exit_code = code
        if failure is not None:
            self.exit_code, self.reason, self.message = 128, "StartError", failure["message"]
        elif oom and code == 128 + 9:
            self.reason = "OOMKilled"
        else:
            self.reason = "Completed" if code == 0 else "Error"

    @property
    def alive(self) -> bool:
        """Something of it runs, if only its setting up."""
        return self.state == RUNNING or self.starting


class Records:
    """All sandboxes and containers by id. `publish` gets an event for every change."""

    def __init__(self, publish: Callable[[dict[str, object]], None]) -> None:
        self.sandboxes: dict[str, Sandbox] = {}
        self.containers: dict[str, Container] = {}
        self._publish = publish

    def tell(self, sandbox_id: str, container_id: str, kind: str) -> None:
        """Something changed; whoever listens asks for the status."""
        self._publish({"sandbox_id": sandbox_id, "container_id": container_id, "type": kind})

    def notice(self, sandbox_id: str, container_id: str, text: str) -> None:
        """A program asked for what it cannot have."""
        self._publish({"sandbox_id": sandbox_id, "container_id": container_id, "type": "notice", "text": text})

    def container(self, request: Request) -> Container:
        """The one that a request names. Raises LauncherError(NotFound)."""
        container = self.containers.get(request.text("id"))
        if container is None:
            raise LauncherError("NotFound", f"there is no container {request.text('id')[:12]}")
        return container

    def running(self, request: Request) -> Container:
        """The same; raises LauncherError(NotRunning) too."""
        container = self.container(request)
        if container.state != RUNNING:
            raise LauncherError("NotRunning", f"container {container.id[:12]} is not running")
        return container

    def of(self, sandbox: Sandbox) -> list[Container]:
        return [container for container in self.containers.values() if container.sandbox_id == sandbox.id]

    def drop(self, container: Container) -> None:
        """Forget a container whose files are gone."""
        if self.containers.pop(container.id, None) is not None:
            self.tell(container.sandbox_id, container.id, "deleted")

    def happened(self, message: Message) -> None:
        """`started` and `exited` events of a pod's init."""
        container = self.containers.get(message["container"])
        if container is None:
            return
        if message["event"] == "started":
            container.starting = False
            container.state = RUNNING
            container.started_at = message["at"]
            container.namespace = message["namespace"]
            container.pid = message["pid"]
            if container.namespace.startswith("mnt:"):
                container.pin = _pinned(container.pid)
            self.tell(container.sandbox_id, container.id, "started")
        elif container.state != EXITED:
            self.ended(container, message["code"], message["at"], oom=message["oom"], failure=message["failure"])

    def ended(
        self, container: Container, code: int, at: float, *, oom: bool = False, failure: dict[str, str] | None = None
    ) -> None:
        """Write down an end and tell those who wait for it."""
        container.starting = False
        container.end(code, at, oom=oom, failure=failure)
        if container.namespace.startswith("mnt:"):
            _kill_all(container.namespace)
        if container.pin >= 0:
            os.close(container.pin)
            container.pin = -1
        self.tell(container.sandbox_id, container.id, "stopped")
        release(container.waiting)


def release(waiting: list[Request]) -> None:
    """Answer those who wait for an end."""
    while waiting:
        waiting.pop(0).answer()


def _pinned(pid: int) -> int:
    try:
        return os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # it has ended already
        return -1


def _kill_all(namespace: str) -> None:
    """In a shared pid namespace the end of a container's first process does not end the others. Whoever forks meanwhile is found
    by another look."""
    for _ in range(LOOKS_MAX):
        found = stats.members(namespace)
        if not found:
            return
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            except OSError as error:
                print(f"launcher: kill {pid}: {error}", file=sys.stderr, flush=True)
