"""The shapes that travel to the launcher: CRI's sandbox and container configurations as JSON, kept as they came.

`wherry.cri.wire` converts the records of `wherry.cri.interface` to these and back. Paths are absolute strings.
"""

from __future__ import annotations

from typing import TypedDict

STOP_SIGNAL_LABEL = "wherry.dev/stop-signal"
"""A container's label: the name or number of the signal that asks it to end."""


class ResourcesSpec(TypedDict):
    """CPU in milli-cores, memory in bytes; None is unlimited."""

    cpu_request: int | None
    cpu_limit: int | None
    memory_limit: int | None
    pids_limit: int | None


class SandboxSpec(TypedDict):
    uid: str
    name: str
    namespace: str
    hostname: str
    ip: str
    log_directory: str
    directory: str
    attempt: int
    host_network: bool
    share_process_namespace: bool
    host_ipc: bool
    sysctls: dict[str, str]
    resources: ResourcesSpec
    labels: dict[str, str]
    memory_volumes: dict[str, int | None]


class RootFSSpec(TypedDict):
    layers: list[str]
    host: bool


class MountSpec(TypedDict):
    source: str
    target: str
    readonly: bool
    propagation: str


class ContainerSpec(TypedDict):
    name: str
    argv: list[str]
    rootfs: RootFSSpec
    image: str
    image_id: str
    env: dict[str, str]
    cwd: str
    mounts: list[MountSpec]
    uid: int
    gid: int
    groups: list[int]
    readonly_rootfs: bool
    no_new_privileges: bool
    privileged: bool
    drop_capabilities: list[str]
    add_capabilities: list[str]
    tty: bool
    stdin: bool
    stdin_once: bool
    resources: ResourcesSpec
    attempt: int
    log_path: str
    oom_score_adj: int
    labels: dict[str, str]
