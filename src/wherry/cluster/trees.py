"""Removing the state directory, which may hold what its owner cannot remove as himself.

Writable layers of containers contain overlayfs work directories of mode 000 and, with subordinate ids, files of other
users; inside a user namespace with the same maps their owner is root over them.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path


def remove(tree: Path) -> None:
    """Remove `tree`. Raises OSError naming the first file that cannot be removed."""
    for folder, names, _ in os.walk(tree):
        for name in names:
            _open_up(Path(folder) / name)
    shutil.rmtree(tree)


def _open_up(folder: Path) -> None:
    """Let the owner into his own directory."""
    try:
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and status.st_mode & 0o700 != 0o700:
            folder.chmod(status.st_mode | 0o700)
    except OSError:
        return  # rmtree will name it
