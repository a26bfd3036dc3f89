"""A container's writable layer over the machine's root, path by path: what was written there is found there first.

Differs from a mount: a directory that both have lists what the machine has, what the machine has cannot be removed, and a name
that nobody wrote yet costs one more look. Nothing under /proc, /sys and /dev is copied.
"""

from __future__ import annotations

import os
import shutil
import stat

from wherry.launcher.proc.paths import normal

_KERNELS = (b"/proc", b"/sys", b"/dev")
COPIED_BYTES_MAX = 256 << 20
"""Of one file of the machine that is changed; a larger one cannot be."""


class Overlay:
    """`upper` is the layer's directory."""

    def __init__(self, upper: bytes) -> None:
        self._upper = upper

    def find(self, path: bytes, *, changes: bool) -> bytes | None:
        """The real path of an absolute one; None: it is the machine's. With `changes` it is made possible to write there.

        Raises OSError where the file is too large to be copied."""
        clean = normal(path)
        if clean == b"/" or clean.startswith(self._upper) or clean.startswith(_KERNELS):
            return None
        own = self._upper + clean
        try:
            mode = os.lstat(own).st_mode
        except OSError:
            return self._for_change(clean, own) if changes else None
        if stat.S_ISDIR(mode) and os.path.isdir(clean):
            return None  # made only to hold what is below: the machine's is the one to look at
        return own

    def _for_change(self, clean: bytes, own: bytes) -> bytes | None:
        folder = os.path.dirname(clean)
        if not os.path.isdir(self._upper + folder):
            if not os.path.isdir(folder):
                return None
            os.makedirs(self._upper + os.path.realpath(folder), exist_ok=True)
            if os.path.realpath(folder) != folder:
                own = self._upper + os.path.realpath(folder) + b"/" + os.path.basename(clean)
        try:
            found = os.lstat(clean)
        except OSError:
            return own
        if stat.S_ISREG(found.st_mode):
            if found.st_size > COPIED_BYTES_MAX:
                raise PermissionError(1, f"{os.fsdecode(clean)} is too large to be copied")
            shutil.copy2(clean, own)
            return own
        return None

    def shown(self, real: bytes) -> bytes | None:
        """How the container names a real path; None when it is not of the layer."""
        return real[len(self._upper) :] if real.startswith(self._upper + b"/") else None
