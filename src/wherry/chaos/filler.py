"""A file system made full for real: one file without a name takes all that is left of it.

Always true: the file has no name and nobody else holds it, so the kernel gives its room back when this process ends, `kill -9`
included. What belongs to the machine, and memory that looks like a disk, is filled only by force: everything there fails then,
not only what this system does.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

STEP_BYTES = 1 << 40
BLOCK_BYTES = 4096
FULL = (errno.ENOSPC, errno.EDQUOT)
MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")


class NotFilled(Exception):
    """The text says why, and what would do."""


class Filler:
    """Within `with`: takes what is free on the file system of `folder`, but for `leave` bytes. Raises OSError."""

    def __init__(self, folder: Path, leave: int = 0) -> None:
        self._folder = folder
        self._leave = leave
        self._descriptor = -1
        self.size = 0
        """Bytes taken."""

    def __enter__(self) -> Filler:
        try:
            self._descriptor = os.open(self._folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:  # not every file system has files without names
            self._descriptor, path = tempfile.mkstemp(dir=self._folder)
            os.unlink(path)
        self.top_up()
        return self

    def top_up(self) -> None:
        """Take again what others gave back meanwhile."""
        step = STEP_BYTES
        while step >= BLOCK_BYTES:
            step = min(step, _free(self._folder) - self._leave)
            if step < BLOCK_BYTES:
                return
            try:
                os.posix_fallocate(self._descriptor, self.size, step)
                self.size += step
            except OSError as error:
                if error.errno not in (*FULL, errno.EFBIG):
                    raise
                step //= 2

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def check(folder: Path, machines: Iterable[Path], memory_available: int) -> None:
    """Raises NotFilled when filling the file system of `folder` would hit others. `machines`: directories that are the machine's
    own, there or not; `memory_available`: in bytes."""
    device = folder.stat().st_dev
    for each in machines:
        if each.exists() and each.stat().st_dev == device:
            raise NotFilled(f"the file system of {folder} holds {each} too, so everything on this machine would fail")
    if _kind(device) in MEMORY_FILE_SYSTEMS and _free(folder) > memory_available // 2:
        raise NotFilled(f"the file system of {folder} lies in memory, of which more than half would go")


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _kind(device: int) -> str:
    """The type of a mounted file system, by proc(5) mountinfo; empty when it is not listed."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[2] == wanted:
            return fields[fields.index("-") + 1]
    return ""
