"""What the launcher remembers of sandboxes and containers: it outlives agents, and is what they list after a restart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wherry.launcher.connection import Connection
from wherry.launcher.requests import Request
from wherry.launcher.specs import ContainerSpec, SandboxSpec

READY, NOTREADY = "SANDBOX_READY", "SANDBOX_NOTREADY"
CREATED, RUNNING, EXITED = "CONTAINER_CREATED", "CONTAINER_RUNNING", "CONTAINER_EXITED"


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
