"""volumeMounts of one container as the runtime's bind mounts: subPath, subPathExpr, readOnly, propagation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from msgspec import Struct

from wherry.api.types import Obj
from wherry.cri.interface import Mount
from wherry.kubelet.expansion import expand, unknown_names
from wherry.kubelet.failures import StartFailure

CONFIG_ERROR = "CreateContainerConfigError"


class Mountable(Struct, frozen=True):
    """A volume that is set up."""

    path: Path
    readonly: bool = False
    """Whatever the mount says: configMap, secret, projected and downwardAPI volumes always are."""


def container_mounts(container: Obj, volumes: Mapping[str, Mountable], env: Mapping[str, str]) -> list[Mount]:
    """Raises StartFailure(CreateContainerConfigError)."""
    mounts: list[Mount] = []
    for entry in container.get("volumeMounts") or ():
        volume = volumes.get(entry["name"])
        if volume is None:
            raise StartFailure(CONFIG_ERROR, f'cannot find volume "{entry["name"]}" to mount into container')
        sub = _sub_path(container, entry, env)
        source = resolve_sub_path(volume.path, sub) if sub else volume.path
        target = entry["mountPath"]
        mounts.append(
            Mount(
                source=source,
                target=target if target.startswith("/") else f"/{target}",
                readonly=volume.readonly or bool(entry.get("readOnly")),
                propagation=_propagation(entry),
            )
        )
    # Parents before what is mounted inside them, whatever the order of the spec.
    return sorted(mounts, key=lambda mount: len(PurePosixPath(mount.target).parts))


def _propagation(entry: Obj) -> str:
    wanted = str(entry.get("mountPropagation") or "None")
    return "private" if wanted == "None" else wanted


def _sub_path(container: Obj, entry: Obj, env: Mapping[str, str]) -> str:
    if entry.get("subPathExpr"):
        text = entry["subPathExpr"]
        missing = unknown_names(text, env)
        if missing:
            raise StartFailure(CONFIG_ERROR, f'missing value for "{missing[0]}"')
        sub = expand(text, env)
        if not sub:
            raise StartFailure(CONFIG_ERROR, f"subPathExpr {text} of container {container['name']} is empty")
    else:
        sub = entry.get("subPath") or ""
    if sub.startswith("/"):
        raise StartFailure(CONFIG_ERROR, f"error SubPath `{sub}` must not be an absolute path")
    if ".." in PurePosixPath(sub).parts:
        raise StartFailure(CONFIG_ERROR, f"unable to provision SubPath `{sub}`: must not contain '..'")
    return sub


def resolve_sub_path(volume: Path, sub: str) -> Path:
    """The real path of `sub` inside the volume, made as a directory if it is missing; never one outside the volume."""
    root = Path(os.path.realpath(volume))
    target = Path(os.path.realpath(root / sub))
    if not target.is_relative_to(root):
        raise StartFailure(CONFIG_ERROR, f"failed to prepare subPath for volumeMount: {sub} leads out of its volume")
    if not target.exists():
        try:
            target.mkdir(parents=True, mode=0o755)
            if root.stat().st_mode & 0o002:
                target.chmod(0o777)  # in an emptyDir every user may write, below a subPath too
        except OSError as error:
            raise StartFailure(CONFIG_ERROR, f"failed to create subPath directory for volumeMount: {error}") from error
    return target
