"""Where notifications arrive."""

from __future__ import annotations

import fcntl
import mmap

from wherry.launcher.proc import notify
from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.threads import Threads

_NOTHING = bytes(notify.NOTIFICATION.size)


class Mailbox:
    """Where notifications arrive: memory shared with the shim's successors, so that one taken from the queue and not
    answered is not lost with who took it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)  # more than fcntl.ioctl copies: the kernel writes here itself

    def receive(self, listener: int, threads: Threads) -> Caller | None:
        """The next one; None when its caller has gone again."""
        self._memory[: notify.NOTIFICATION.size] = _NOTHING
        try:
            fcntl.ioctl(listener, notify.RECEIVE, self._memory, True)
        except OSError:
            return None
        return Caller(listener, self._memory, threads)

    def content(self) -> bytes:
        """What was received last, answered or not."""
        return self._memory[: notify.NOTIFICATION.size]
