"""A container's writable layer over the machine's root, path by path: what was written there is found there first.

Differs from a mount: a directory that both have lists what the machine has, removed or not; directories of the machine cannot be
removed; and a name that nobody wrote yet costs one more look. Nothing under /proc, /sys and /dev is copied.
"""

from __future__ import annotations

import errno
import os
import stat

from wherry.launcher import whiteouts
from wherry.launcher.proc.hidden import is_hidden, is_remade
from wherry.launcher.proc.paths import KERNELS, normal, top
from wherry.launcher.proc.reach import Found, LeadsElsewhereError, copy, leads_away, make_directories
from wherry.launcher.whiteouts import is_whiteout

_NOWHERE = b".gone"  # after the layer's own name: nobody makes such a directory
COPIED_BYTES_MAX = 64 << 20
"""Of one file of the machine that is changed; a larger one cannot be. Nobody else is answered meanwhile."""


class Overlay:
    """`upper` is the layer's directory, `state` Wherry's: what no pod may read (hidden.py) is not copied."""

    def __init__(self, upper: bytes, state: bytes) -> None:
        self.upper = upper
        self._state = state
        self.tops = _listed(upper)
        """First names of all that is in the layer: nothing gets there by another one but through us."""

    def find(self, path: bytes, *, changes: bool, creates: bool = False) -> bytes | None:
        """The real path of an absolute one; None: it is the machine's. With `changes`, for a path whose directories are no links
        of the machine (aliases.py), it is made possible to write there.

        What was removed is nowhere, unless something is to be made in its place. Raises OSError where the file is too large to be
        copied."""
        clean = normal(path)
        if clean == b"/" or top(clean) in KERNELS or clean.startswith(self.upper):
            return None
        own = self.upper + clean
        # Nearly always nothing is there: asked so, that costs half of what an exception does.
        if not os.access(own, os.F_OK, follow_symlinks=False):
            # By a link of the layer, which the machine would follow to its own files.
            if leads_away(self.upper, clean[1:]):
                return own
            return self._for_change(clean, own) if changes else None
        found = os.lstat(own)
        if is_whiteout(found):
            if not creates:
                return self.upper + _NOWHERE + clean
            with Found(clean, own, self.upper, readonly=False).parent() as (fd, name):
                os.unlink(name, dir_fd=fd)
        if stat.S_ISDIR(found.st_mode) and os.path.isdir(clean):
            return None  # made only to hold what is below: the machine's is the one to look at
        return own

    def _for_change(self, clean: bytes, own: bytes) -> bytes | None:
        folder = os.path.dirname(clean)
        if not os.path.isdir(self.upper + folder):
            if not os.path.isdir(folder):
                return None
            self._make_directories(folder)
        self.tops.add(top(own[len(self.upper) :]))
        if is_remade(own[len(self.upper) :]) and not os.path.isdir(clean):
            return own
        try:
            found = os.lstat(clean)
        except OSError:
            return own
        if stat.S_ISREG(found.st_mode):
            if found.st_size > COPIED_BYTES_MAX:
                raise PermissionError(errno.EPERM, f"{os.fsdecode(clean)} is too large to be copied")
            copy(clean, Found(clean, own, self.upper, readonly=False), lambda real: not is_hidden(real, self._state))
            return own
        if stat.S_ISLNK(found.st_mode):
            with Found(clean, own, self.upper, readonly=False).parent() as (fd, name):
                os.symlink(os.readlink(clean), name, dir_fd=fd)
            return own
        return None

    def directory(self, real: bytes) -> Found | None:
        """The layer's own in the place of one of the machine's, which is still the one to look at. None: it cannot have one.

        Raises OSError."""
        if top(real) in KERNELS:
            return None
        self._make_directories(real)
        return Found(real, self.upper + real.rstrip(b"/"), self.upper, readonly=False)

    def _make_directories(self, real: bytes) -> None:
        self.tops.add(top(real))
        make_directories(self.upper, real)

    def hide(self, name: bytes) -> None:
        """What was removed from the layer is gone, though the machine may have it."""
        try:
            if not stat.S_ISDIR(os.lstat(name).st_mode):
                with Found(name, self.upper + name, self.upper, readonly=False).parent() as (fd, last):
                    whiteouts.make(last, dir_fd=fd)
        except (OSError, LeadsElsewhereError):
            return  # the machine does not have it, or the layer has something else there

    def shown(self, real: bytes) -> bytes | None:
        """How the container names a real path; None when it is not of the layer."""
        return real[len(self.upper) :] if real.startswith(self.upper + b"/") else None


def _listed(upper: bytes) -> set[bytes]:
    try:
        return set(os.listdir(upper))
    except OSError:  # its container has been removed
        return set()
