"""Removing directories that containers wrote into.

Runs as our user 0 (jobs.py) where there are namespaces, because subordinate users and modes like 000 keep the machine's own
user out.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress

from wherry.launcher.syscalls import SyscallError

DEPTH_MAX = 100
LENGTH_MAX = 2000
"""Directories in one another, and characters of their names, that are removed where they are."""


def remove(path: str) -> None:
    """Remove a tree; nothing there is no error. Raises SyscallError for the first thing that stays."""

    def failed(_: object, name: str, information: tuple[type[BaseException], BaseException, object]) -> None:
        error = information[1]
        if isinstance(error, FileNotFoundError):
            return
        number = error.errno if isinstance(error, OSError) else 0
        raise SyscallError(number or 0, "unlink", name) from error

    if os.path.isdir(path) and not os.path.islink(path):
        make_shallow(path)
        shutil.rmtree(path, onerror=failed)
    elif os.path.lexists(path):
        os.unlink(path)


def make_shallow(top: str) -> None:
    """Let its owner into all of its directories, and move those that lie very deep to its top: a program makes directories in one
    another as long as it likes, but paths of them, descriptors and Python's stack come to an end.

    What cannot be entered or moved stays, for who removes it to say."""
    waiting, moved = [top], 0
    owner = os.geteuid()
    while waiting:
        folder = waiting.pop()
        deep = len(folder) - len(top) > LENGTH_MAX or folder.count("/") - top.count("/") > DEPTH_MAX
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    continue
                facts = entry.stat(follow_symlinks=False)
                if facts.st_uid == owner and facts.st_mode & 0o700 != 0o700:
                    os.chmod(entry.path, 0o700)
                place = entry.path
                if deep:
                    moved, place = _free_name(top, moved)
                    os.rename(entry.path, place)
                waiting.append(place)


def _free_name(top: str, number: int) -> tuple[int, str]:
    """The first from `number` on; the next number, and the name."""
    while os.path.lexists(f"{top}/.moved-{number}"):
        number += 1
    return number + 1, f"{top}/.moved-{number}"
