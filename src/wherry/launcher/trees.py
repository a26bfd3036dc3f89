"""Removing directories that containers wrote into.

Runs as our user 0 (jobs.py) where there are namespaces, because subordinate users and modes like 000 keep the machine's own
user out.
"""

from __future__ import annotations

import os
import shutil

from wherry.launcher.syscalls import SyscallError


def remove(path: str) -> None:
    """Remove a tree; nothing there is no error. Raises SyscallError for the first thing that stays."""

    def failed(_: object, name: str, information: tuple[type[BaseException], BaseException, object]) -> None:
        error = information[1]
        if isinstance(error, FileNotFoundError):
            return
        number = error.errno if isinstance(error, OSError) else 0
        raise SyscallError(number or 0, "unlink", name) from error

    if os.path.isdir(path) and not os.path.islink(path):
        if os.geteuid() != 0:
            _open_up(path)
        shutil.rmtree(path, onerror=failed)
    elif os.path.lexists(path):
        os.unlink(path)


def _open_up(path: str) -> None:
    """In tier proc we are no user 0, and a container may have closed directories that are ours."""
    for parent, names, _ in os.walk(path):
        for name in names:
            if not os.path.islink(f"{parent}/{name}"):
                os.chmod(f"{parent}/{name}", 0o700)
