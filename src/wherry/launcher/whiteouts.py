"""What says in a layer that a name of the layers below is gone: overlayfs' mark, a character device 0:0, which any user may make.

Where the layer lies on overlayfs itself (in an ordinary container) the kernel makes no such device: a socket of mode 0 and of
the beginning of time says it there. No mount needs to know that one, since overlayfs takes no layer that is removed from on
itself; and no image brings a socket.
"""

from __future__ import annotations

import os
import stat


def make(path: str | bytes | os.PathLike[str], *, dir_fd: int | None = None) -> None:
    """Mark `path` as removed. Raises OSError, FileExistsError where something is."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, 0, dir_fd=dir_fd)
    except PermissionError:
        os.mknod(path, stat.S_IFSOCK, dir_fd=dir_fd)
        os.utime(path, ns=(0, 0), dir_fd=dir_fd, follow_symlinks=False)


def is_whiteout(status: os.stat_result) -> bool:
    """Of a file itself (lstat)."""
    if stat.S_ISCHR(status.st_mode):
        return status.st_rdev == 0
    return status.st_mode == stat.S_IFSOCK and status.st_mtime_ns == 0
