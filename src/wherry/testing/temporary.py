"""Directories that end with the process that made them, however it ends: those of a killed one go at the next look.

A directory is held by a lock on a file inside, which the kernel gives back with the process. Always true: what is removed
is ours, our user's, and nobody holds it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

HOLDER = "held-by-its-process"


class Held:
    """`path` is a new directory, nobody else's to read; `release` removes it."""

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._process = os.getpid()
        unlocked = self.path / f"{HOLDER}.new"
        self._lock = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unlocked.rename(self.path / HOLDER)  # nobody finds it before it is locked

    def release(self) -> None:
        """Once or more often; in a process that was forked from ours, not at all."""
        if self._lock >= 0 and self._process == os.getpid():
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def sweep(prefix: str, end: Callable[[Path], None] = lambda path: None) -> None:
    """Remove the directories whose processes have ended without doing so; `end` ends what still runs in one."""
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{prefix}*")):
        lock = _take(folder)
        if lock is not None:
            try:
                end(folder)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _take(folder: Path) -> int | None:
    """The lock; None where somebody holds it, or is just making the directory, or it is not ours."""
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            return None
        lock = os.open(folder / HOLDER, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
