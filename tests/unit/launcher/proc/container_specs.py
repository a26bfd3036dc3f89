"""A container as the launcher is told of it, whole, for tests that mean its files only."""

from __future__ import annotations

from pathlib import Path

from wherry.launcher.specs import ContainerSpec, MountSpec


def container_spec(
    *layers: Path,
    host: bool = True,
    mounts: tuple[MountSpec, ...] = (),
    readonly_rootfs: bool = False,
    cwd: str = "/app",
) -> ContainerSpec:
    """A container of an image `app:v1` whose layers lie above each other as given, uppermost first."""
    return {
        "name": "main",
        "argv": ["/app/main"],
        "rootfs": {"layers": [str(path) for path in layers], "host": host},
        "image": "app:v1",
        "image_id": "sha256:app",
        "env": {},
        "cwd": cwd,
        "mounts": list(mounts),
        "uid": 0,
        "gid": 0,
        "groups": [],
        "readonly_rootfs": readonly_rootfs,
        "no_new_privileges": False,
        "privileged": False,
        "drop_capabilities": [],
        "add_capabilities": [],
        "tty": False,
        "stdin": False,
        "stdin_once": False,
        "resources": {"cpu_request": None, "cpu_limit": None, "memory_limit": None, "pids_limit": None},
        "attempt": 0,
        "log_path": "",
        "oom_score_adj": 0,
        "labels": {},
    }
