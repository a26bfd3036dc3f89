"""Descriptors of the threads that called: pidfds, and through them duplicates of what those threads have open; and their memory.

A connection waits for this, so both are opened once per thread and not once per call. Memory is what the thread had when it was
opened: whoever answers execve(2) says so here, for then it gets another one.
"""

from __future__ import annotations

import ctypes
import errno
import os

from wherry.launcher.proc.glimpses import Glimpses
from wherry.launcher.proc.outcomes import GoneError
from wherry.launcher.syscalls import SyscallError

_long = ctypes.c_long
_call = ctypes.CFUNCTYPE(_long, _long, _long, _long, _long, use_errno=True)(("syscall", ctypes.CDLL(None)))
_PIDFD_GETFD = 438
_THREAD = os.O_EXCL  # PIDFD_THREAD, Linux 6.9: a pidfd of any thread
KEPT_MAX = 256
"""Threads. Each is a pidfd, and may be one descriptor more for its memory."""


class Threads:
    """Pidfds by the number of a thread. Always true: what is kept never says that it lives when its number is another's."""

    def __init__(self) -> None:
        self._kept: dict[int, int] = {}
        self._memory: dict[int, int] = {}
        """Of threads that are kept."""
        self.glimpses = Glimpses()

    def duplicate(self, thread: int, fd: int) -> int:
        """Of a descriptor of the thread's. Raises OSError (EBADF, EPERM), GoneError."""
        found = self.duplicate_of_known(thread, fd)
        return found if found >= 0 else self._duplicate_first(thread, fd)

    def duplicate_of_known(self, thread: int, fd: int) -> int:
        """As `duplicate`; -1 where no pidfd is kept that says that the thread lives."""
        kept = self._kept.get(thread)
        if kept is None:
            return -1
        found: int = _call(_PIDFD_GETFD, kept, fd, 0)
        if found < 0:
            if ctypes.get_errno() != errno.ESRCH:
                raise SyscallError(ctypes.get_errno(), "pidfd_getfd")
            self._forget(thread)  # it has ended, and its number is another's
        return found

    def memory_of_known(self, thread: int, address: int, size: int) -> bytes:
        """Of a thread that has just been found to live, by `duplicate_of_known`. Less than `size` bytes where it is not known, or
        has not so many there: then see `open_memory`."""
        memory = self._memory.get(thread)
        if memory is None or address >> 63:  # the kernel's half, and no offset of a file
            return b""
        try:
            return os.pread(memory, size, address)
        except OSError:
            return b""

    def open_memory(self, thread: int) -> None:
        """Keep it for `memory_of_known`, of a thread that has just been found to live. Whoever asks for this checks afterwards
        that it did so all the time, and forgets all memory if not."""
        if thread in self._memory:
            os.close(self._memory.pop(thread))
        try:
            self._memory[thread] = os.open(f"/proc/{thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return

    def forget_memory(self) -> None:
        """A program is replaced by another one, or a thread's number was not its own."""
        for memory in self._memory.values():
            os.close(memory)
        self._memory.clear()
        self.glimpses.forget()

    def _duplicate_first(self, thread: int, fd: int) -> int:
        pidfd, keep = _open(thread)
        try:
            found: int = _call(_PIDFD_GETFD, pidfd, fd, 0)
            if found < 0:
                keep = False
                if ctypes.get_errno() == errno.ESRCH:
                    raise GoneError
                raise SyscallError(ctypes.get_errno(), "pidfd_getfd")
            return found
        finally:
            if keep:
                self._keep(thread, pidfd)
            else:
                os.close(pidfd)

    def _keep(self, thread: int, pidfd: int) -> None:
        self._kept[thread] = pidfd
        if len(self._kept) > KEPT_MAX:
            self._forget(next(iter(self._kept)))

    def _forget(self, thread: int) -> None:
        os.close(self._kept.pop(thread))
        if thread in self._memory:
            os.close(self._memory.pop(thread))

    def close(self) -> None:
        for thread in list(self._kept):
            self._forget(thread)
        self.glimpses.forget()


def _open(thread: int) -> tuple[int, bool]:
    """A pidfd, and whether it may be kept: one of a whole process says nothing about its other threads' numbers."""
    try:
        return os.pidfd_open(thread, _THREAD), True
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise GoneError from error
    process = process_of(thread)  # Linux before 6.9, or no such thread
    try:
        return os.pidfd_open(process), process == thread
    except OSError as error:
        raise GoneError from error


def process_of(thread: int) -> int:
    """The number of the thread's process."""
    try:
        with open(f"/proc/{thread}/status") as lines:
            return next(int(line[5:]) for line in lines if line.startswith("Tgid:"))
    except (OSError, StopIteration) as error:
        raise GoneError from error
