"""What the root file system of a container is made of."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, field


class RootFS(Struct, frozen=True):
    """Unpacked layers, topmost first (the order of overlayfs' lowerdir), below a container's own writable layer.

    Layers are in overlayfs' format for mounts with `userxattr`, in both tiers: a deleted path is a character device 0:0
    (any user may make it), a directory that hides those below it has the extended attribute `user.overlay.opaque` = `y`.

    With `host` the machine's own file system lies below them all (`wherry.dev/host`), masked as runtime.md says.
    """

    layers: tuple[Path, ...] = ()
    host: bool = False


class Image(Struct, frozen=True):
    """An image of the local store, ready to run. `config` is the OCI image config's `config` object (Env, Cmd, ...)."""

    id: str
    """`sha256:...` of the OCI image config: CRI's image id."""
    names: tuple[str, ...]
    rootfs: RootFS
    size: int
    config: dict[str, object] = field(default_factory=dict)
    digest: str = ""
    """`sha256:...` of the manifest."""
