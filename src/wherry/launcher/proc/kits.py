"""Directories and a file made ahead of time, for one pod and its first container.

Moving one costs 12 microseconds, making one up to a millisecond: ext4 does not give the number of a file that was just removed
to a new one, so where many come and go it looks long for another.
"""

from __future__ import annotations

import os
from contextlib import suppress

KITS = "launcher/kits"
"""In the state directory."""
PORTS, CONTAINER = "ports", "container"
LOG, _LOGS = "log", "logs"
ROOTS_HOME = "/root"
"""Which every container has of its own, whatever its image brings."""
HOME = f"upper{ROOTS_HOME}"
"""In a container's directory."""
_OWN = ("upper", HOME, "own-tmp", "own-var-tmp")
_MADE = (PORTS, _LOGS, CONTAINER, *(f"{CONTAINER}/{name}" for name in _OWN))


def make(state: str) -> str:
    """A new kit's name; without room on the disk it may be incomplete."""
    kit = os.path.join(state, KITS, f"{os.getpid()}-")
    with suppress(OSError):  # whoever needs what is missing makes it, and says what is wrong
        parent = os.path.dirname(kit)
        for folder in (os.path.dirname(parent), parent):  # their owner's alone, unlike a kit
            with suppress(FileExistsError):
                os.mkdir(folder, 0o700)
        for name in _MADE:
            os.mkdir(kit + name)
        os.chmod(kit + _LOGS, 0o700)
        os.close(os.open(kit + LOG, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    return kit


def place(kit: str, name: str, target: str) -> None:
    """The kit's directory `name` becomes `target`; without a kit (an empty name) that is made. Raises OSError."""
    try:
        if kit:
            os.rename(kit + name, target)
            return
    except OSError:  # the target's parent is missing, or on another disk; or something is in the target
        pass
    os.makedirs(target, exist_ok=True)


def place_log(kit: str, target: str) -> None:
    """The kit's file becomes `target`, if that can be; whoever opens it makes it otherwise."""
    for name, path in ((_LOGS, os.path.dirname(target)), (LOG, target)):
        if kit and not os.path.lexists(path):
            with suppress(OSError):
                os.rename(kit + name, path)


def discard(kit: str) -> None:
    """Remove what nobody took."""
    if kit:
        for name in reversed(_MADE):
            with suppress(OSError):
                os.rmdir(kit + name)
        with suppress(OSError):
            os.unlink(kit + LOG)
