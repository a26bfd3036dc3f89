"""fsGroup: the volume's files belong to the pod's group, and new ones will too (setgid on directories)."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def give(directory: Path, group: int | None, user: int | None, *, only_root_mismatch: bool = False) -> bool:
    """Hand a tree to `group` (and files of tokens to `user`); False when this user may not do that."""
    try:
        if only_root_mismatch and group is not None and directory.stat().st_gid == group:
            return True
        _give_one(directory, group, None)
        for root, folders, files in os.walk(directory):
            for name in folders:
                _give_one(Path(root) / name, group, None)
            for name in files:
                _give_one(Path(root) / name, group, user)
    except PermissionError:
        return False
    return True


def _give_one(path: Path, group: int | None, user: int | None) -> None:
    info = path.lstat()
    os.chown(path, -1 if user is None else user, -1 if group is None else group, follow_symlinks=False)
    if group is None or stat.S_ISLNK(info.st_mode):
        return
    mode = stat.S_IMODE(info.st_mode)
    if stat.S_ISDIR(info.st_mode):
        path.chmod(mode | 0o2770)
    else:
        path.chmod(mode | (0o060 if mode & 0o200 else 0o040) if mode & 0o400 else mode)
