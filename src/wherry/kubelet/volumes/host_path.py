"""hostPath: a path of the machine, after the check its `type` asks for."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable
from pathlib import Path

Check = Callable[[int], bool]
_CHECKS: dict[str, tuple[Check, str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def prepare(path: str, kind: str) -> Path:
    """The checked path, made first by the types that say so. Raises ValueError with kubelet's text."""
    target = Path(path)
    if ".." in target.parts:
        raise ValueError(f"hostPath must not contain '..': {path}")
    if kind == "DirectoryOrCreate" and not target.exists():
        target.mkdir(mode=0o755, parents=True, exist_ok=True)
    elif kind == "FileOrCreate" and not target.exists():
        if not target.parent.is_dir():
            raise ValueError(f"hostPath type check failed: open {path}: no such file or directory")
        target.touch(mode=0o644)
    if kind in ("", "Unset"):
        # Not the kubelet's but the runtimes' custom (containerd, CRI-O): what nobody checks is a directory if it is missing.
        with contextlib.suppress(OSError):
            target.mkdir(mode=0o755, parents=True)
        return target
    check, noun = _CHECKS[kind.removesuffix("OrCreate")]
    if not target.exists() or not check(target.stat().st_mode):
        raise ValueError(f"hostPath type check failed: {path} is not {noun}")
    return target
