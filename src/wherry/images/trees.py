"""Removing unpacked trees, whose directories may keep their own owner out."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path


def remove_tree(tree: Path) -> None:
    """Remove what can be removed; nothing there is no error. What other users own inside stays (the launcher's to remove)."""
    if not os.path.lexists(tree):
        return
    for folder, names, _ in os.walk(tree):
        for name in names:
            _open_up(Path(folder) / name)
    shutil.rmtree(tree, ignore_errors=True)


def _open_up(folder: Path) -> None:
    status = folder.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and status.st_mode & 0o700 != 0o700:
        folder.chmod(0o700)
