"""Removing unpacked trees, whose directories may keep their own owner out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from wherry.launcher.trees import make_shallow


def remove_tree(tree: Path) -> None:
    """Remove what can be removed; nothing there is no error. What other users own inside stays (the launcher's to remove)."""
    if not os.path.lexists(tree):
        return
    make_shallow(str(tree))
    shutil.rmtree(tree, ignore_errors=True)
