"""A container's writable layer over the machine's root, path by path: what was written there is found there first.

Differs from a mount: a directory that both have lists what the machine has, what the machine has cannot be removed, and a name
that nobody wrote yet costs one more look. Nothing under /proc, /sys and /dev is copied.
"""

from __future__ import annotations

import errno
import os
import stat

from wherry.launcher.proc.paths import normal
from wherry.launcher.proc.reach import Found, copy, make_directories

_KERNELS = (b"/proc", b"/sys", b"/dev")
COPIED_BYTES_MAX = 64 << 20
"""Of one file of the machine that is changed; a larger one cannot be. Nobody else is answered meanwhile."""


class Overlay:
    """`upper` is the layer's directory."""

    def __init__(self, upper: bytes) -> None:
        self.upper = upper

    def find(self, path: bytes, *, changes: bool) -> bytes | None:
        """The real path of an absolute one; None: it is the machine's. With `changes` it is made possible to write there.

        Raises OSError where the file is too large to be copied."""
        clean = normal(path)
        if clean == b"/" or clean.startswith(self.upper) or clean.startswith(_KERNELS):
            return None
        own = self.upper + clean
        try:
            mode = os.lstat(own).st_mode
        except OSError:
            return self._for_change(clean, own) if changes else None
        if stat.S_ISDIR(mode) and os.path.isdir(clean):
            return None  # made only to hold what is below: the machine's is the one to look at
        return own

    def _for_change(self, clean: bytes, own: bytes) -> bytes | None:
        folder = os.path.dirname(clean)
        if not os.path.isdir(self.upper + folder):
            if not os.path.isdir(folder):
                return None
            real = os.path.realpath(folder)
            make_directories(self.upper, real)
            if real != folder:
                own = self.upper + real + b"/" + os.path.basename(clean)
        try:
            found = os.lstat(clean)
        except OSError:
            return own
        if stat.S_ISREG(found.st_mode):
            if found.st_size > COPIED_BYTES_MAX:
                raise PermissionError(errno.EPERM, f"{os.fsdecode(clean)} is too large to be copied")
            copy(clean, Found(clean, own, self.upper, readonly=False))
            return own
        return None

    def shown(self, real: bytes) -> bytes | None:
        """How the container names a real path; None when it is not of the layer."""
        return real[len(self.upper) :] if real.startswith(self.upper + b"/") else None
