"""Removing the state directory, which may hold what its owner cannot remove as himself.

Writable layers of containers contain overlayfs work directories of mode 000 and, with subordinate ids, files of other
users; inside a user namespace with the same maps their owner is root over them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from wherry.launcher.trees import make_shallow


def remove(tree: Path) -> None:
    """Remove `tree`. Raises OSError naming the first file that cannot be removed."""
    make_shallow(str(tree))
    shutil.rmtree(tree)
