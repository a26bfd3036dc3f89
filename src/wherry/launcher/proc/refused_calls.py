"""System calls that this tier has no answer to. They are refused, and the pod is told what its program asked for.

io_uring would go round the filter. Calls of another architecture (i386, on x86_64) have numbers and structures that nobody knows
here: such a program ends with SIGSYS, as the kernel ends one whose calls a filter forbids.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal

from wherry.launcher.proc import notify
from wherry.launcher.proc.caller import FOREIGN, Caller
from wherry.launcher.proc.finding import Tell
from wherry.launcher.proc.guest import Guest

NO_IO_URING = "io_uring_setup: tier proc has no io_uring; programs go on with other calls where they can"
NO_FOREIGN = f"tier proc knows the system calls of {notify.MACHINE} only: a program of 32 bits ends with SIGSYS"


class RefusedCalls:
    """`handlers` by number."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.handlers = {notify.IO_URING_SETUP: self._io_uring, FOREIGN: self._foreign}

    def _io_uring(self, caller: Caller, guest: Guest) -> None:
        self._tell(guest, NO_IO_URING)
        caller.fail(errno.ENOSYS)

    def _foreign(self, caller: Caller, guest: Guest) -> None:
        """Answered too: it may have a handler for the signal."""
        self._tell(guest, NO_FOREIGN)
        with contextlib.suppress(ProcessLookupError):
            os.kill(caller.process(), signal.SIGSYS)
        caller.fail(errno.ENOSYS)
