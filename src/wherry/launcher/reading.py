"""Reading files of ours whose mode keeps even us out: without privileges an owner is asked for the mode too, and images have
files like a shadow of mode 000, or programs that can only be executed."""

from __future__ import annotations

import os
import stat


def open_own(path: str | os.PathLike[str]) -> int:
    """A descriptor to read a regular file from; a link is not followed. Its mode is changed for this moment only where it has to
    be. Raises OSError."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError:
        found = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        itself = f"/proc/self/fd/{found}"  # nothing else, whatever happens to the path
        mode = stat.S_IMODE(os.fstat(found).st_mode)
        os.chmod(itself, mode | stat.S_IRUSR)
        try:
            return os.open(itself, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.chmod(itself, mode)
    finally:
        os.close(found)
