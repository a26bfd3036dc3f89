"""One system call that waits for its answer: its caller's memory (memory.py) and descriptors, and the answers.

Every method that looks at the caller may find that it has gone (GoneError): then nobody waits any more. A connection waits for
all of this, so what every call needs is made once. fcntl.ioctl costs half of what the same costs by ctypes.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Callable

from wherry.launcher.proc import notify, tracing
from wherry.launcher.proc.glimpses import Glimpses
from wherry.launcher.proc.memory import Memory
from wherry.launcher.proc.outcomes import GoneError
from wherry.launcher.proc.threads import Threads

_ID = struct.Struct("=Q")
_BELOW = (32768, 1024)
"""Bytes below a stack where a block is put, the first that is there: below the frames of signals, or of a small stack."""

Plan = Callable[[int], tuple[dict[int, int], bytes]]
"""Given the address of a block of memory: arguments by their number, and what is to be in the block. Its size never differs."""

FOREIGN = -1
"""In the place of a call's number where it is another architecture's."""


class Caller(Memory):
    """`number` (or FOREIGN) and `arguments` are the call's; `listener` is where it is answered."""

    __slots__ = ("_threads", "arguments", "id", "listener", "number")

    def __init__(self, listener: int, raw: bytes | mmap.mmap, threads: Threads) -> None:
        found = notify.NOTIFICATION.unpack_from(raw)
        super().__init__(found[1])
        self.listener = listener
        self.id: int = found[0]
        self.number: int = found[3] if found[4] == notify.ARCHITECTURE else FOREIGN
        self.arguments: tuple[int, ...] = found[6:]
        self._threads = threads

    @property
    def glimpses(self) -> Glimpses:
        """What is kept of such callers' memory."""
        return self._threads.glimpses

    # descriptors

    def take(self, fd: int) -> int:
        """A duplicate of the caller's descriptor. Raises OSError(EBADF), PermissionError where that is forbidden, GoneError."""
        return self._threads.duplicate(self.thread, fd & 0xFFFFFFFF)

    def take_and_peek(self, fd: int, address: int, size: int) -> tuple[int, bytes]:
        """A duplicate of a descriptor, and memory, both surely the caller's: a kept pidfd says that it is of this very thread,
        which still lives. Of a thread that is not known yet -1, and what may be another process's by now: see `take_and_check`.
        Raises OSError (EBADF, EFAULT), GoneError."""
        found = self._threads.duplicate_of_known(self.thread, fd & 0xFFFFFFFF)
        if found < 0:
            return -1, self.peek(address, size)
        data = self._threads.memory_of_known(self.thread, address, size)
        if len(data) == size:
            return found, data
        try:
            self._threads.open_memory(self.thread)
            return found, self.read(address, size)
        except (GoneError, OSError):
            os.close(found)
            self._threads.forget_memory()
            raise

    def take_and_check(self, fd: int) -> int:
        """As `take`; what was peeked at before is the caller's own."""
        found = self.take(fd)
        if not self.waits():
            os.close(found)
            raise GoneError
        return found

    def becomes_another(self) -> None:
        """It is about to execute a program, in memory of its own."""
        self._threads.forget_memory()

    def socket(self) -> socket.socket:
        """A duplicate of the socket in the first argument. Raises OSError (ENOTSOCK and EBADF too), GoneError."""
        fd = self.take(self.arguments[0])
        try:
            return socket.socket(-1, -1, -1, fd)
        except OSError:
            os.close(fd)
            raise

    def process(self) -> int:
        """The number of the thread's process."""
        return int(self._status("Tgid:"))

    def umask(self) -> int:
        return int(self._status("Umask:"), 8)

    def _status(self, field: str) -> str:
        """One line of what the kernel says about it. Raises GoneError."""
        try:
            with open(f"/proc/{self.thread}/status") as lines:
                return next(line[len(field) :] for line in lines if line.startswith(field))
        except (OSError, StopIteration) as error:
            raise GoneError from error

    # answers: exactly one of them

    def waits(self) -> bool:
        """Whether there is still somebody to answer."""
        return _told(self.listener, notify.ID_VALID, _ID.pack(self.id))

    def check(self) -> None:
        """Raises GoneError unless the caller still waits: its thread's number may belong to another one by now."""
        if not self.waits():
            raise GoneError

    def proceed(self) -> None:
        """Let the kernel do it, with what is in the caller's memory then."""
        self._answer(0, 0, notify.CONTINUE)

    def again(self, plan: Plan, number: int = -1) -> bool:
        """Let the caller make its call again with some arguments replaced, or the call `number`; for the moment that takes, it is
        traced.

        False, and nothing is done, where it may not be. Raises OSError, GoneError."""
        if not tracing.interrupt(self.thread):
            return False
        self.fail(errno.EINTR)

        def change(values: list[int]) -> None:
            for argument, value in self._put_below(values[tracing.STACK], plan).items():
                values[tracing.ARGUMENTS[argument]] = value
            tracing.call_again(self.thread, values, self.number if number < 0 else number)

        tracing.once_stopped(self.thread, change)
        return True

    def afterwards(self, change: Callable[[int], None]) -> bool:
        """Let the kernel do it, and `change` the caller's memory (`peek`, `poke`) before the caller goes on; it is given the
        kernel's answer. For the moment that takes, the caller is traced. Only for calls that wait for nothing.

        False, and nothing is done, where it may not be. Raises what `change` does, GoneError."""
        if not tracing.interrupt(self.thread):
            return False
        self.proceed()

        def look(values: list[int]) -> None:
            answer = values[tracing.RESULT]
            change(answer - (1 << 64) if answer >> 63 else answer)

        tracing.once_stopped(self.thread, look)
        return True

    def poke(self, address: int, data: bytes) -> None:
        """Write to a caller that is traced, and so no other's by now. Raises OSError(EFAULT), GoneError."""
        self.force(address, data, check=False)

    def _put_below(self, stack: int, plan: Plan) -> dict[int, int]:
        """Write the block far enough below the stack that a signal's frame does not reach it; the arguments."""
        size = len(plan(0)[1])
        for distance in _BELOW:
            address = (stack - distance - size) & ~15
            arguments, block = plan(address)
            try:
                self.force(address, block, check=False)
            except OSError:
                continue
            return arguments
        raise GoneError

    def succeed(self, value: int = 0) -> None:
        self._answer(value, 0, 0)

    def fail(self, number: int) -> None:
        """With an errno."""
        self._answer(0, -number, 0)

    def _answer(self, value: int, error: int, flags: int) -> None:
        answer = notify.ANSWER.pack(self.id, value, error, flags)
        _told(self.listener, notify.SEND, answer)  # or the caller has gone, and nobody waits for it

    def give(self, fd: int, *, close_on_exec: bool, at: int | None = None) -> None:
        """Succeed with a new descriptor of the caller's that is our `fd`, which stays ours; `at` a number, if that can be.

        In one step the caller would be told 0, its own standard input, when we are killed before it has run: the kernel has the
        answer by then, and drops the descriptor (seccomp_notify_addfd). Two steps cost 4 us more; where signals may come between
        them, which would leave the caller a descriptor that it does not know of, it is one."""
        flags = os.O_CLOEXEC if close_on_exec else 0
        steps = 0 if notify.waits_killable() else notify.ADD_FD_SEND
        number = -1
        if at is not None:  # it may have no descriptors of such numbers
            number = self._add(notify.NEW_FD.pack(self.id, steps | notify.ADD_FD_AT, fd, at, flags))
        if number < 0:
            number = self._add(notify.NEW_FD.pack(self.id, steps, fd, 0, flags))
        if number < 0:
            self.fail(-number)
        elif not steps:
            self.succeed(number)

    def _add(self, how: bytes) -> int:
        """The new descriptor's number, or -errno."""
        while True:
            try:
                return int(fcntl.ioctl(self.listener, notify.ADD_FD, bytearray(how), True))
            except InterruptedError:  # by the alarm, before anything was done
                continue
            except OSError as error:
                return -(error.errno or errno.EIO)

    def lend(self, fd: int, number: int) -> bool:
        """The caller gets our `fd` at a number of its own, in place of what was there; it still waits. False: it cannot."""
        return _told(
            self.listener, notify.ADD_FD, notify.NEW_FD.pack(self.id, notify.ADD_FD_AT, fd, number, os.O_CLOEXEC)
        )


def _told(listener: int, what: int, data: bytes) -> bool:
    while True:
        try:
            fcntl.ioctl(listener, what, data)
        except InterruptedError:  # by the alarm, before anything was done
            continue
        except OSError:
            return False
        return True
