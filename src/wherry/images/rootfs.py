"""What the root file system of a container is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RootFS:
    """Unpacked layers, topmost first (the order of overlayfs' lowerdir), below a container's own writable layer.

    With `host` the machine's own file system lies below them all (`wherry.dev/host`), masked as runtime.md says.
    """

    layers: tuple[Path, ...] = ()
    host: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """An image of the local store, ready to run. `config` is the OCI image config's `config` object (Env, Cmd, ...)."""

    id: str
    """`sha256:...` of the OCI image config: CRI's image id."""
    names: tuple[str, ...]
    rootfs: RootFS
    size: int
    config: dict[str, object] = field(default_factory=dict)
    digest: str = ""
    """`sha256:...` of the manifest."""
