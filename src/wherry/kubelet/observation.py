"""What a pod looks like in the runtime, and what the kubelet alone knows about it. Values only; no I/O, no decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from wherry.cri.interface import ContainerState, ContainerStatus, SandboxState, SandboxStatus

ID_PREFIX = "wherry://"


class PodSeen(Struct, frozen=True):
    """Sandboxes and containers of one pod, newest first."""

    sandboxes: tuple[SandboxStatus, ...] = ()
    containers: Mapping[str, tuple[ContainerStatus, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, sandboxes: Iterable[SandboxStatus], containers: Iterable[ContainerStatus]) -> PodSeen:
        """Order what a runtime lists: by attempt first, because creation times of one millisecond are equal."""
        newest_sandboxes = sorted(sandboxes, key=lambda each: (each.config.attempt, each.created_at), reverse=True)
        by_name: dict[str, list[ContainerStatus]] = {}
        for container in sorted(containers, key=lambda each: (each.config.attempt, each.created_at), reverse=True):
            by_name.setdefault(container.config.name, []).append(container)
        return cls(tuple(newest_sandboxes), {name: tuple(found) for name, found in by_name.items()})

    @property
    def sandbox(self) -> SandboxStatus | None:
        """The newest sandbox, ready or not."""
        return self.sandboxes[0] if self.sandboxes else None

    @property
    def ready_sandbox(self) -> SandboxStatus | None:
        newest = self.sandbox
        return newest if newest is not None and newest.state is SandboxState.READY else None

    def latest(self, name: str) -> ContainerStatus | None:
        found = self.containers.get(name)
        return found[0] if found else None

    def current(self, name: str) -> ContainerStatus | None:
        """The newest container of that name if it belongs to the newest sandbox."""
        latest, sandbox = self.latest(name), self.sandbox
        return latest if latest is not None and sandbox is not None and latest.sandbox_id == sandbox.id else None

    def every(self) -> list[ContainerStatus]:
        return [container for found in self.containers.values() for container in found]

    def alive(self) -> list[ContainerStatus]:
        """Everything that has a process, or may have one."""
        return [each for each in self.every() if each.state in (ContainerState.RUNNING, ContainerState.UNKNOWN)]

    @property
    def is_gone(self) -> bool:
        """Nothing of the pod runs any more."""
        return not self.alive() and not any(each.state is SandboxState.READY for each in self.sandboxes)


class Health(Struct, frozen=True):
    """What probes and hooks have said, by container id. A container without a probe of a kind is in its set at once."""

    started: frozenset[str] = frozenset()
    ready: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)
    """`liveness` or `startup`: that probe has failed for good and the container must be restarted."""


class Hold(Struct, frozen=True):
    """A container that cannot be started now: the waiting reason and text to show, and when to try again."""

    reason: str
    message: str
    until: float
    """Unix seconds."""


def is_running(container: ContainerStatus | None) -> bool:
    return container is not None and container.state is ContainerState.RUNNING


def is_exited(container: ContainerStatus | None) -> bool:
    return container is not None and container.state is ContainerState.EXITED
