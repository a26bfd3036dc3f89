"""Removes directory trees without holding up the event loop: a pod may leave a hundred thousand files behind."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

ENTRIES_AT_ONCE = 256  # some 2 ms of unlink(2)


async def remove_trees(paths: Iterable[Path]) -> None:
    """Remove what is there; what cannot be removed is logged and left. Never follows a symlink."""
    for path in paths:
        if path.is_symlink() or not path.exists():
            continue
        removed = 0
        try:
            for entry, is_directory in _bottom_up(path):
                _remove(entry, is_directory)
                removed += 1
                if removed % ENTRIES_AT_ONCE == 0:
                    await asyncio.sleep(0)
        except OSError as error:
            log.warning("cannot remove %s: %s", path, error)


def _bottom_up(path: Path) -> Iterable[tuple[Path, bool]]:
    """Everything below `path` and at last itself; directories are made ours first (overlayfs leaves some of mode 000)."""
    pending: list[tuple[Path, bool]] = [(path, False)]
    while pending:
        current, emptied = pending.pop()
        if emptied:
            yield current, True
            continue
        if stat.S_IMODE(current.lstat().st_mode) & 0o700 != 0o700:
            current.chmod(0o700)
        pending.append((current, True))
        with os.scandir(current) as entries:
            for entry in entries:
                child = Path(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    pending.append((child, False))
                else:
                    yield child, False


def _remove(path: Path, is_directory: bool) -> None:
    try:
        if is_directory:
            path.rmdir()
        else:
            path.unlink()
    except FileNotFoundError:
        pass
