"""Removes directory trees without holding up the event loop: a pod may leave a hundred thousand files behind."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from wherry.cri.interface import RuntimeFailure, RuntimeService

log = logging.getLogger(__name__)

ENTRIES_AT_ONCE = 256  # some 2 ms of unlink(2)


class TreeRemover:
    """Removes what we may; the rest, files that a container's own users left, by the runtime, which may remove them."""

    def __init__(self, runtime: RuntimeService) -> None:
        self._runtime = runtime

    async def remove(self, paths: Iterable[Path]) -> None:
        """What is there goes; what cannot be removed is logged and left. Never follows a symlink."""
        for path in paths:
            if path.is_symlink() or not path.exists():
                continue
            try:
                await _remove_tree(path)
            except OSError:
                await self._remove_by_runtime(path)

    async def _remove_by_runtime(self, path: Path) -> None:
        try:
            await self._runtime.remove_tree(path)
        except (RuntimeFailure, ConnectionError) as error:
            log.warning("cannot remove %s: %s", path, error)


async def _remove_tree(path: Path) -> None:
    for count, (entry, is_directory) in enumerate(_bottom_up(path), 1):
        _remove(entry, is_directory)
        if count % ENTRIES_AT_ONCE == 0:
            await asyncio.sleep(0)


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
