"""CRI's configurations as the launcher keeps them (JSON, see launcher/specs.py), and its answers as CRI's statuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wherry.cri.interface import (
    ContainerConfig,
    ContainerState,
    ContainerStatus,
    Mount,
    Resources,
    SandboxConfig,
    SandboxState,
    SandboxStatus,
)
from wherry.images.rootfs import RootFS
from wherry.launcher.specs import ContainerSpec, ResourcesSpec, SandboxSpec


def sandbox_spec(config: SandboxConfig) -> SandboxSpec:
    """As JSON."""
    return {
        "uid": config.uid,
        "name": config.name,
        "namespace": config.namespace,
        "hostname": config.hostname,
        "ip": config.ip,
        "log_directory": str(config.log_directory),
        "directory": str(config.directory),
        "attempt": config.attempt,
        "host_network": config.host_network,
        "share_process_namespace": config.share_process_namespace,
        "host_ipc": config.host_ipc,
        "sysctls": dict(config.sysctls),
        "resources": _resources_spec(config.resources),
        "labels": dict(config.labels),
        "memory_volumes": {str(path): limit for path, limit in config.memory_volumes.items()},
    }


def sandbox_config(spec: SandboxSpec) -> SandboxConfig:
    """Back again."""
    return SandboxConfig(
        uid=spec["uid"],
        name=spec["name"],
        namespace=spec["namespace"],
        hostname=spec["hostname"],
        ip=spec["ip"],
        log_directory=Path(spec["log_directory"]),
        directory=Path(spec["directory"]),
        attempt=spec["attempt"],
        host_network=spec["host_network"],
        share_process_namespace=spec["share_process_namespace"],
        host_ipc=spec["host_ipc"],
        sysctls=spec["sysctls"],
        resources=Resources(**spec["resources"]),
        labels=spec["labels"],
        memory_volumes={Path(path): limit for path, limit in spec["memory_volumes"].items()},
    )


def container_spec(config: ContainerConfig) -> ContainerSpec:
    """As JSON."""
    return {
        "name": config.name,
        "argv": list(config.argv),
        "rootfs": {"layers": [str(path) for path in config.rootfs.layers], "host": config.rootfs.host},
        "image": config.image,
        "image_id": config.image_id,
        "env": dict(config.env),
        "cwd": config.cwd,
        "mounts": [
            {"source": str(m.source), "target": m.target, "readonly": m.readonly, "propagation": m.propagation}
            for m in config.mounts
        ],
        "uid": config.uid,
        "gid": config.gid,
        "groups": list(config.groups),
        "readonly_rootfs": config.readonly_rootfs,
        "no_new_privileges": config.no_new_privileges,
        "privileged": config.privileged,
        "drop_capabilities": list(config.drop_capabilities),
        "add_capabilities": list(config.add_capabilities),
        "tty": config.tty,
        "stdin": config.stdin,
        "stdin_once": config.stdin_once,
        "resources": _resources_spec(config.resources),
        "attempt": config.attempt,
        "log_path": config.log_path,
        "oom_score_adj": config.oom_score_adj,
        "labels": dict(config.labels),
    }


def container_config(spec: ContainerSpec) -> ContainerConfig:
    """Back again."""
    return ContainerConfig(
        name=spec["name"],
        argv=tuple(spec["argv"]),
        rootfs=RootFS(tuple(Path(path) for path in spec["rootfs"]["layers"]), spec["rootfs"]["host"]),
        image=spec["image"],
        image_id=spec["image_id"],
        env=spec["env"],
        cwd=spec["cwd"],
        mounts=tuple(Mount(Path(m["source"]), m["target"], m["readonly"], m["propagation"]) for m in spec["mounts"]),
        uid=spec["uid"],
        gid=spec["gid"],
        groups=tuple(spec["groups"]),
        readonly_rootfs=spec["readonly_rootfs"],
        no_new_privileges=spec["no_new_privileges"],
        privileged=spec["privileged"],
        drop_capabilities=tuple(spec["drop_capabilities"]),
        add_capabilities=tuple(spec["add_capabilities"]),
        tty=spec["tty"],
        stdin=spec["stdin"],
        stdin_once=spec["stdin_once"],
        resources=Resources(**spec["resources"]),
        attempt=spec["attempt"],
        log_path=spec["log_path"],
        oom_score_adj=spec["oom_score_adj"],
        labels=spec["labels"],
    )


def sandbox_status(item: Mapping[str, Any]) -> SandboxStatus:
    """Of an entry of sandbox.list."""
    return SandboxStatus(item["id"], sandbox_config(item["config"]), SandboxState(item["state"]), item["created_at"])


def container_status(item: Mapping[str, Any]) -> ContainerStatus:
    """Of an entry of container.list."""
    return ContainerStatus(
        id=item["id"],
        sandbox_id=item["sandbox_id"],
        config=container_config(item["config"]),
        state=ContainerState(item["state"]),
        created_at=item["created_at"],
        started_at=item["started_at"],
        finished_at=item["finished_at"],
        exit_code=item["exit_code"],
        reason=item["reason"],
        message=item["message"],
        pid=item["pid"],
    )


def _resources_spec(resources: Resources) -> ResourcesSpec:
    return {
        "cpu_request": resources.cpu_request,
        "cpu_limit": resources.cpu_limit,
        "memory_limit": resources.memory_limit,
        "pids_limit": resources.pids_limit,
    }
