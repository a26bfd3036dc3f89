"""The container runtime in CRI's words (k8s.io/cri-api, runtime.v1), and the fields of it we act on.

`testing/contracts/cri.py` holds the real runtime and `cri/fake.py` to the same promises. All calls are idempotent where
CRI's are: stopping what is stopped and removing what is gone succeed. Failures raise `RuntimeFailure` with a reason that
kubectl users know (`RunContainerError`, `CreateContainerError`, ...).
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from wherry.images.rootfs import Image, RootFS

OWNER_LABEL = "wherry.dev/owner"
"""Label of sandboxes with who looks after them: the `builder`, or another kubelet on the same runtime. A kubelet leaves
alone what is not its own; the sandboxes of the only or first one have no such label."""


class RuntimeFailure(Exception):
    """The runtime could not do it. `reason` is a container waiting reason; the text says what was tried and why it failed."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SandboxState(Enum):
    READY = "SANDBOX_READY"
    NOTREADY = "SANDBOX_NOTREADY"


class ContainerState(Enum):
    CREATED = "CONTAINER_CREATED"
    RUNNING = "CONTAINER_RUNNING"
    EXITED = "CONTAINER_EXITED"
    UNKNOWN = "CONTAINER_UNKNOWN"


class Resources(Struct, frozen=True):
    """cgroup limits of a container or a pod; None means unlimited. CPU in milli-cores, memory in bytes."""

    cpu_request: int | None = None
    cpu_limit: int | None = None
    memory_limit: int | None = None
    pids_limit: int | None = None


class SandboxConfig(Struct, frozen=True):
    """One pod sandbox. `ip` is chosen by the caller (network/ipam); empty with `host_network`."""

    uid: str
    name: str
    namespace: str
    hostname: str
    ip: str
    log_directory: Path
    directory: Path
    """Where the runtime keeps this sandbox's writable layers; removed with the sandbox."""
    attempt: int = 0
    host_network: bool = False
    share_process_namespace: bool = False
    host_ipc: bool = False
    """/dev/shm is the machine's, where the tier can give it."""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    labels: Mapping[str, str] = field(default_factory=dict)
    memory_volumes: Mapping[Path, int | None] = field(default_factory=dict)
    """Existing directories over which the sandbox mounts a tmpfs (emptyDir with medium Memory) before any container, with
    the size limit in bytes: a `Mount` of that directory then shows the tmpfs, shared by the sandbox's containers only."""


class SandboxStatus(Struct, frozen=True):
    id: str
    config: SandboxConfig
    state: SandboxState
    created_at: float
    """Unix seconds."""


class Mount(Struct, frozen=True):
    """A bind mount: `source` on the machine, `target` in the container; the source exists.

    `propagation` is Kubernetes' mountPropagation: `private` (None), `HostToContainer`; `Bidirectional` is refused.
    """

    source: Path
    target: str
    readonly: bool = False
    propagation: str = "private"


class ContainerConfig(Struct, frozen=True):
    """One container. `argv` is complete (image entrypoint and command already merged)."""

    name: str
    argv: Sequence[str]
    rootfs: RootFS
    image: str
    image_id: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    mounts: Sequence[Mount] = ()
    uid: int = 0
    gid: int = 0
    groups: Sequence[int] = ()
    readonly_rootfs: bool = False
    no_new_privileges: bool = False
    privileged: bool = False
    drop_capabilities: Sequence[str] = ()
    add_capabilities: Sequence[str] = ()
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    resources: Resources = Resources()
    attempt: int = 0
    log_path: str = ""
    """Relative to the sandbox's log_directory: `<container>/<attempt>.log`."""
    oom_score_adj: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


class ContainerStatus(Struct, frozen=True):
    """CRI's ContainerStatus. Times are Unix seconds, 0 when it has not happened; exit_code is 128+n after signal n."""

    id: str
    sandbox_id: str
    config: ContainerConfig
    state: ContainerState
    created_at: float
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""
    """`Completed`, `Error`, `OOMKilled`, `StartError` (exit code 128, with the message why it did not start)."""
    message: str = ""
    pid: int = 0
    """Of its first process, as the node's pid namespace numbers it."""


class ContainerEvent(Struct, frozen=True):
    """Something changed: whoever listens asks for the status (level-based)."""

    sandbox_id: str
    container_id: str
    type: str
    """`created`, `started`, `stopped`, `deleted`; for the sandbox itself container_id is empty. `notice`: nothing changed, but
    a program of the container asked for what it cannot have here, and was refused."""
    text: str = ""
    """Of a notice."""


class ContainerStats(Struct, frozen=True):
    container_id: str
    sandbox_id: str
    timestamp: float
    cpu_usage_nanoseconds: int
    """Cumulative since the container started."""
    memory_working_set_bytes: int


class ExecResult(Struct, frozen=True):
    stdout: bytes
    stderr: bytes
    exit_code: int


class ExecSession(Protocol):
    """A process started by exec, or a running container attached to. Descriptors are non-blocking and belong to the caller.

    With a tty `stdin` and `stdout` are the same pty master and `stderr` is None.
    """

    stdin: socket.socket | int | None
    stdout: int | None
    stderr: int | None

    async def wait(self) -> int:
        """The exit code (128+n after signal n)."""
        ...

    def resize(self, columns: int, rows: int) -> None: ...

    def close_stdin(self) -> None:
        """End of file for the process; without stdin, or on a terminal, nothing."""
        ...

    def close(self) -> None:
        """Close the descriptors; a process started by exec is killed."""
        ...


class RuntimeService(Protocol):
    """CRI's RuntimeService."""

    async def run_pod_sandbox(self, config: SandboxConfig) -> str:
        """Create namespaces, network and the pod's init; the sandbox id."""
        ...

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        """Kill what runs in it and free its network."""
        ...

    async def remove_pod_sandbox(self, sandbox_id: str) -> None: ...

    async def list_pod_sandboxes(self) -> Sequence[SandboxStatus]: ...

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str: ...

    async def start_container(self, container_id: str) -> None:
        """Returns once execve succeeded; raises RuntimeFailure(RunContainerError/StartError) with why it did not."""
        ...

    async def stop_container(self, container_id: str, grace_seconds: float, signal: str = "SIGTERM") -> None:
        """Signal, wait up to `grace_seconds`, then SIGKILL; returns when it has ended."""
        ...

    async def remove_container(self, container_id: str) -> None: ...

    async def list_containers(self) -> Sequence[ContainerStatus]: ...

    async def container_status(self, container_id: str) -> ContainerStatus | None: ...

    def events(self) -> AsyncIterator[ContainerEvent]:
        """Changes from now on. Ends with ConnectionError when the runtime goes away: reconnect and list."""
        ...

    async def exec_sync(self, container_id: str, argv: Sequence[str], timeout: float) -> ExecResult:
        """Raises TimeoutError; the process is killed then."""
        ...

    async def exec(self, container_id: str, argv: Sequence[str], *, tty: bool, stdin: bool) -> ExecSession: ...

    async def attach(self, container_id: str, *, tty: bool, stdin: bool) -> ExecSession: ...

    async def dial(self, sandbox_id: str, port: int, host: str = "127.0.0.1") -> socket.socket:
        """A non-blocking TCP socket connected from inside the sandbox's network (port-forward, probes)."""
        ...

    async def container_upper(self, container_id: str) -> Path:
        """The container's writable layer on the machine, in overlayfs' format (whiteouts: launcher/whiteouts.py; opaque
        directories carry the extended attribute user.overlay.opaque=y); there until the container is removed. The image
        builder makes a layer of it once the container has ended. Raises RuntimeFailure(ContainerNotFound)."""
        ...

    async def archive_upper(self, container_id: str, output: int) -> None:
        """Write the writable layer to the descriptor `output` (a file, or a pipe that is read meanwhile) as an uncompressed
        OCI layer tar: whiteouts as `.wh.` files, owners as the container sees them, sorted by path. Also reads what only the
        container's own users may read. Returns when it is complete; raises RuntimeFailure."""
        ...

    async def remove_tree(self, path: Path) -> None:
        """Remove a directory that containers wrote into, whatever users they were; nothing there is no error."""
        ...

    async def reopen_container_log(self, container_id: str) -> None: ...

    async def stats(self) -> Sequence[ContainerStats]: ...

    async def status(self) -> Mapping[str, str]:
        """`tier`, `version`, and with the reason what is not enforced (`limits`, `users`), not given (`escalation`: privileges by
        execve) or not kept apart (`not_isolated`)."""
        ...


class RegistryAuth(Struct, frozen=True):
    """Credentials of an image pull secret for one registry."""

    username: str = ""
    password: str = ""


class ImageService(Protocol):
    """CRI's ImageService over the local store; `wherry.dev/host:<any tag>` is always present."""

    async def image_status(self, reference: str) -> Image | None:
        """The image if it is in the local store. Raises RuntimeFailure(InvalidImageName)."""
        ...

    async def pull_image(self, reference: str, auths: Mapping[str, RegistryAuth]) -> Image:
        """Fetch from its registry (`auths` by registry host). Raises RuntimeFailure(ErrImagePull) that says why."""
        ...

    async def list_images(self) -> Sequence[Image]: ...

    async def remove_image(self, reference: str) -> None: ...
