"""One system call that waits for its answer, and its caller's memory and descriptors.

Every method that looks at the caller may find that it has gone (GoneError): then nobody waits any more. Memory is read through
process_vm_readv(2), which needs no descriptor that an execve would leave behind; it is written the same way, and where the
page is read-only through /proc/PID/mem.

A connection waits for all of this, so what every call needs is made once: buffers, their addresses, and pidfds (threads.py).
fcntl.ioctl costs half of what the same costs by ctypes.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Callable

from wherry.launcher.proc import notify, tracing
from wherry.launcher.proc.glimpses import Glimpses
from wherry.launcher.proc.outcomes import GoneError
from wherry.launcher.proc.threads import Threads

_libc = ctypes.CDLL(None, use_errno=True)
_ulong, _pointer = ctypes.c_ulong, ctypes.c_void_p
for _name in ("process_vm_readv", "process_vm_writev"):
    _function = getattr(_libc, _name)
    _function.argtypes = [ctypes.c_int, _pointer, _ulong, _pointer, _ulong, _ulong]
    _function.restype = ctypes.c_ssize_t
_readv, _writev = _libc.process_vm_readv, _libc.process_vm_writev

PATH_BYTES_MAX = 4096  # PATH_MAX
_PAGE = os.sysconf("SC_PAGE_SIZE")
BUFFER_BYTES = 65536
_PIECE = struct.Struct("=QQ")  # struct iovec
_PIECES = struct.Struct("=QQQQ")  # ours, then the caller's
_ID = struct.Struct("=Q")
_NOTHING = bytes(notify.NOTIFICATION.size)
POINTERS_MAX = 65536  # words of a command line
_BELOW = (32768, 1024)


Plan = Callable[[int], tuple[dict[int, int], bytes]]
"""Given the address of a block of memory: arguments by their number, and what is to be in the block. Its size never differs."""


class _Copy:
    """A local buffer and the iovecs of both sides, made once: three structures per copy would cost more than the call."""

    def __init__(self, size: int) -> None:
        self.buffer = ctypes.create_string_buffer(size)
        self.pieces = ctypes.create_string_buffer(_PIECES.size)
        self.view = memoryview(self.buffer).cast("B")
        self.address = ctypes.addressof(self.buffer)
        self.local = ctypes.addressof(self.pieces)
        self.remote = self.local + _PIECE.size


_copy = _Copy(BUFFER_BYTES)


FOREIGN = -1
"""In the place of a call's number where it is another architecture's."""


class Caller:
    """`number` (or FOREIGN) and `arguments` are the call's; `listener` is where it is answered."""

    __slots__ = ("_threads", "arguments", "id", "listener", "number", "thread")

    def __init__(self, listener: int, raw: bytes | mmap.mmap, threads: Threads) -> None:
        found = notify.NOTIFICATION.unpack_from(raw)
        self.listener = listener
        self.id: int = found[0]
        self.thread: int = found[1]
        self.number: int = found[3] if found[4] == notify.ARCHITECTURE else FOREIGN
        self.arguments: tuple[int, ...] = found[6:]
        self._threads = threads

    # memory

    @property
    def glimpses(self) -> Glimpses:
        return self._threads.glimpses

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes, or as many as there are. Raises OSError(EFAULT), GoneError."""
        found = self.peek(address, size)
        self.check()
        return found

    def peek(self, address: int, size: int) -> bytes:
        """As `read`, but it may be another process's by now: for who checks that before anything follows from it."""
        size = min(size, BUFFER_BYTES)
        _PIECES.pack_into(_copy.pieces, 0, _copy.address, size, address, size)
        count: int = _readv(self.thread, _copy.local, 1, _copy.remote, 1, 0)
        if count < 0:
            self._failed()
        return _copy.view[:count].tobytes()

    def path(self, address: int) -> bytes:
        """A string up to its zero byte. Raises OSError (EFAULT, ENAMETOOLONG), GoneError."""
        found = self.peek_path(address)
        self.check()
        return found

    def peek_path(self, address: int) -> bytes:
        """As `path`, but it may be another process's by now: for who checks that before anything follows from it."""
        found = b""
        while len(found) < PATH_BYTES_MAX:
            # Not across a page that may not be there.
            piece = self.peek(address + len(found), min(256, _PAGE - (address + len(found)) % _PAGE))
            end = piece.find(b"\0")
            if end >= 0:
                return found + piece[:end]
            found += piece
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))

    def pointers(self, address: int) -> list[int]:
        """An array of them up to its zero, such as argv. Raises OSError, GoneError."""
        found: list[int] = []
        while len(found) < POINTERS_MAX:
            at = address + 8 * len(found)
            piece = self.read(at, _PAGE - at % _PAGE)
            values = struct.unpack(f"={len(piece) // 8}Q", piece[: len(piece) // 8 * 8])
            if not values:
                raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
            for value in values:
                if value == 0:
                    return found
                found.append(value)
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))

    def write(self, address: int, data: bytes) -> None:
        """Raises OSError(EFAULT), GoneError."""
        self.check()
        size = len(data)
        _copy.view[:size] = data
        _PIECES.pack_into(_copy.pieces, 0, _copy.address, size, address, size)
        count = _writev(self.thread, _copy.local, 1, _copy.remote, 1, 0)
        if count == size:
            return
        if count < 0 and ctypes.get_errno() != errno.EFAULT:
            self._failed()
        self._force(address, data)

    def gather(self, pieces: bytes) -> bytes:
        """What an array of struct iovec points to, at most `BUFFER_BYTES`. Raises OSError (EMSGSIZE, EFAULT), GoneError."""
        size = _size(pieces)
        if size > BUFFER_BYTES:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        if self._move(_readv, pieces, size) != size:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        self.check()
        return _copy.buffer.raw[:size]

    def scatter(self, pieces: bytes, data: bytes) -> None:
        """Fill what an array of struct iovec points to, as far as `data` goes. Raises OSError(EFAULT), GoneError."""
        self.check()
        ctypes.memmove(_copy.buffer, data, len(data))
        if self._move(_writev, pieces, len(data)) != len(data):
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))

    def _move(self, call: Callable[..., int], pieces: bytes, size: int) -> int:
        """Between our buffer and theirs; the bytes."""
        if not size:
            return 0
        remote = ctypes.create_string_buffer(pieces, len(pieces))
        _PIECE.pack_into(_copy.pieces, 0, _copy.address, size)
        count = call(self.thread, _copy.local, 1, ctypes.addressof(remote), len(pieces) // _PIECE.size, 0)
        if count < 0:
            self._failed()
        return count

    def _force(self, address: int, data: bytes, *, check: bool = True) -> None:
        """Into a page that the caller itself may not write, such as a constant's."""
        if address >> 63:  # the kernel's half, and no offset of a file
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        try:
            memory = os.open(f"/proc/{self.thread}/mem", os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise GoneError from error
        try:
            if check:
                self.check()
            os.pwrite(memory, data, address)
        except OSError as error:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT)) from error
        finally:
            os.close(memory)

    def _failed(self) -> None:
        number = ctypes.get_errno()
        if number == errno.ESRCH:
            raise GoneError
        raise OSError(number, os.strerror(number))

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

    def again(self, plan: Plan) -> bool:
        """Let the caller make its call again with some arguments replaced; for the moment that takes, it is traced.

        False, and nothing is done, where it may not be. Raises OSError, GoneError."""
        if not tracing.interrupt(self.thread):
            return False
        self.fail(errno.EINTR)
        try:
            values = tracing.registers(self.thread)
            for argument, value in self._put_below(values[tracing.STACK], plan).items():
                values[tracing.ARGUMENTS[argument]] = value
            tracing.call_again(self.thread, values, self.number)
        finally:
            tracing.release(self.thread)
        return True

    def afterwards(self, change: Callable[[int], None]) -> bool:
        """Let the kernel do it, and `change` the caller's memory (`peek`, `poke`) before the caller goes on; it is given the
        kernel's answer. For the moment that takes, the caller is traced. Only for calls that wait for nothing.

        False, and nothing is done, where it may not be. Raises what `change` does, GoneError."""
        if not tracing.interrupt(self.thread):
            return False
        self.proceed()
        try:
            answer = tracing.registers(self.thread)[tracing.RESULT]
            change(answer - (1 << 64) if answer >> 63 else answer)
        finally:
            tracing.release(self.thread)
        return True

    def poke(self, address: int, data: bytes) -> None:
        """Write to a caller that is traced, and so no other's by now. Raises OSError(EFAULT), GoneError."""
        self._force(address, data, check=False)

    def _put_below(self, stack: int, plan: Plan) -> dict[int, int]:
        """Write the block far enough below the stack that a signal's frame does not reach it; the arguments."""
        size = len(plan(0)[1])
        for distance in _BELOW:
            address = (stack - distance - size) & ~15
            arguments, block = plan(address)
            try:
                self._force(address, block, check=False)
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
        """Succeed with a new descriptor of the caller's that is our `fd`, which stays ours; `at` a number, if that can be."""
        flags = os.O_CLOEXEC if close_on_exec else 0
        if at is not None:
            how = notify.ADD_FD_SEND | notify.ADD_FD_AT
            if _told(self.listener, notify.ADD_FD, notify.NEW_FD.pack(self.id, how, fd, at, flags)):
                return  # else it may have no descriptors of such numbers
        try:
            fcntl.ioctl(self.listener, notify.ADD_FD, notify.NEW_FD.pack(self.id, notify.ADD_FD_SEND, fd, 0, flags))
        except OSError as error:
            self.fail(error.errno or errno.EIO)

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


def _size(pieces: bytes) -> int:
    """Of all an array of struct iovec points to."""
    return sum(size for _, size in _PIECE.iter_unpack(pieces))


class Mailbox:
    """Where notifications arrive: memory shared with the shim's successors, so that one taken from the queue and not
    answered is not lost with who took it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _PAGE)  # more than fcntl.ioctl copies: the kernel writes here itself

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
