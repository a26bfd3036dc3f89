"""Directories that end with the process that made them, however it ends.

A directory is held by a lock on a file inside, which the kernel gives back with the process: what was left goes at the next
look. A guarded one goes at once, since a shell waits for the end of a pipe whose other end only we hold. Always true: what is
removed is ours, our user's, and nobody holds it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

HOLDER = "held-by-its-process"


GUARD = 'read -r word || exec rm -rf -- "$1"'
"""Told a word, it has nothing to do; told nothing until the end, we were killed."""


class Held:
    """`path` is a new directory, nobody else's to read; `release` removes it. `guarded`: also if we are killed, which costs a
    small process."""

    def __init__(self, prefix: str, guarded: bool = False) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._process = os.getpid()
        unlocked = self.path / f"{HOLDER}.new"
        self._lock = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unlocked.rename(self.path / HOLDER)  # nobody finds it before it is locked
        self._guard = _guard(self.path) if guarded else None

    def release(self) -> None:
        """Once or more often; in a process that was forked from ours, not at all."""
        if self._lock >= 0 and self._process == os.getpid():
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1
            if self._guard is not None:
                with suppress(BrokenPipeError):  # somebody has ended it
                    self._guard.communicate(b"done\n")


def _guard(folder: Path) -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C and the end of a terminal are not for it."""
    return subprocess.Popen(
        ["/bin/sh", "-c", GUARD, "sh", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def sweep(prefix: str, end: Callable[[Path], None] = lambda path: None, *, wait: bool = False) -> None:
    """Remove the directories whose processes have ended without doing so; `end` ends what still runs in one. `wait` for those
    that are just ending, for who knows that they are: the kernel may close all else of a process before it frees the lock."""
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{prefix}*")):
        lock = _take(folder, wait)
        if lock is not None:
            try:
                end(folder)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _take(folder: Path, wait: bool) -> int | None:
    """The lock; None where somebody holds it, or is just making the directory, or it is not ours."""
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            return None
        lock = os.open(folder / HOLDER, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
