"""One system call that waits for its answer, and its caller's memory and descriptors.

Every method that looks at the caller may find that it has gone (GoneError): then nobody waits any more. Memory is read through
process_vm_readv(2), which needs no descriptor that an execve would leave behind; it is written the same way, and where the
page is read-only through /proc/PID/mem.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
from collections.abc import Callable

from wherry.launcher import syscalls
from wherry.launcher.proc import notify
from wherry.launcher.syscalls import SyscallError

_libc = ctypes.CDLL(None, use_errno=True)
_long, _ulong, _pointer = ctypes.c_long, ctypes.c_ulong, ctypes.c_void_p
for _name in ("process_vm_readv", "process_vm_writev"):
    _function = getattr(_libc, _name)
    _function.argtypes = [ctypes.c_int, _pointer, _ulong, _pointer, _ulong, _ulong]
    _function.restype = ctypes.c_ssize_t
_libc.ptrace.argtypes = [_long, ctypes.c_int, _pointer, _pointer]
_libc.ptrace.restype = _long
_ioctl = _libc.ioctl
_ioctl.argtypes = [ctypes.c_int, _ulong, _pointer]

PATH_BYTES_MAX = 4096  # PATH_MAX
_PAGE = os.sysconf("SC_PAGE_SIZE")
_THREAD = os.O_EXCL  # PIDFD_THREAD, Linux 6.9: a pidfd of any thread
BUFFER_BYTES = 65536
_PIECE = struct.Struct("=QQ")  # struct iovec
POINTERS_MAX = 65536  # words of a command line
_PTRACE_GETREGS, _PTRACE_SETREGS, _PTRACE_DETACH, _PTRACE_SEIZE, _PTRACE_INTERRUPT = 12, 13, 17, 0x4206, 0x4207
_REGISTERS = struct.Struct("=27Q")  # struct user_regs_struct of x86_64
_RAX, _ORIG_RAX, _RIP, _RSP = 10, 15, 16, 19
_ARGUMENTS = (14, 13, 12, 7, 9, 8)  # rdi rsi rdx r10 r8 r9
_NO_CALL = (1 << 64) - 1
_SYSCALL_BYTES = 2  # of the instruction, which is made again
_BELOW = (32768, 1024)
_WALL = 0x40000000  # wait for what is no child of ours but traced
STOP_LOOKS = 100_000  # some 50 ms; whoever is told to stop is at its call's end already


Plan = Callable[[int], tuple[dict[int, int], bytes]]
"""Given the address of a block of memory: arguments by their number, and what is to be in the block. Its size never differs."""


class GoneError(Exception):
    """The caller has ended, or was interrupted: there is nobody to answer."""


class _Copy:
    """A local buffer and the iovecs of both sides, made once: three structures per copy would cost more than the call."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.buffer = ctypes.create_string_buffer(size)
        self.local = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(self.buffer), size))
        self.remote = ctypes.create_string_buffer(16)


_copy = _Copy(BUFFER_BYTES)


class Caller:
    """`number` and `arguments` are the call's; `listener` is where it is answered."""

    __slots__ = ("_pidfd", "arguments", "id", "listener", "number", "thread")

    def __init__(self, listener: int, raw: bytes | mmap.mmap) -> None:
        found = notify.NOTIFICATION.unpack_from(raw)
        self.listener = listener
        self.id: int = found[0]
        self.thread: int = found[1]
        self.number: int = found[3]
        self.arguments: tuple[int, ...] = found[6:]
        self._pidfd = -1

    # memory

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes, or as many as there are. Raises OSError(EFAULT), GoneError."""
        size = min(size, BUFFER_BYTES)
        struct.pack_into("=QQ", _copy.remote, 0, address, size)
        struct.pack_into("=Q", _copy.local, 8, size)
        count = _libc.process_vm_readv(
            self.thread, ctypes.addressof(_copy.local), 1, ctypes.addressof(_copy.remote), 1, 0
        )
        if count < 0:
            self._failed()
        self.check()
        return _copy.buffer.raw[:count] if count > 256 else ctypes.string_at(_copy.buffer, count)

    def path(self, address: int) -> bytes:
        """A string up to its zero byte. Raises OSError (EFAULT, ENAMETOOLONG), GoneError."""
        found = b""
        while len(found) < PATH_BYTES_MAX:
            # Not across a page that may not be there.
            piece = self.read(address + len(found), min(256, _PAGE - (address + len(found)) % _PAGE))
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
            piece = self.read(at, min(512, _PAGE - at % _PAGE))
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
        ctypes.memmove(_copy.buffer, data, len(data))
        struct.pack_into("=QQ", _copy.remote, 0, address, len(data))
        struct.pack_into("=Q", _copy.local, 8, len(data))
        count = _libc.process_vm_writev(
            self.thread, ctypes.addressof(_copy.local), 1, ctypes.addressof(_copy.remote), 1, 0
        )
        if count == len(data):
            return
        if count < 0 and ctypes.get_errno() != errno.EFAULT:
            self._failed()
        self._force(address, data)

    def gather(self, pieces: bytes) -> bytes:
        """What an array of struct iovec points to, at most `BUFFER_BYTES`. Raises OSError (EMSGSIZE, EFAULT), GoneError."""
        size = _size(pieces)
        if size > BUFFER_BYTES:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        if self._move(_libc.process_vm_readv, pieces, size) != size:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        self.check()
        return _copy.buffer.raw[:size]

    def scatter(self, pieces: bytes, data: bytes) -> None:
        """Fill what an array of struct iovec points to, as far as `data` goes. Raises OSError(EFAULT), GoneError."""
        self.check()
        ctypes.memmove(_copy.buffer, data, len(data))
        if self._move(_libc.process_vm_writev, pieces, len(data)) != len(data):
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))

    def _move(self, call: Callable[..., int], pieces: bytes, size: int) -> int:
        """Between our buffer and theirs; the bytes."""
        if not size:
            return 0
        remote = ctypes.create_string_buffer(pieces, len(pieces))
        struct.pack_into("=Q", _copy.local, 8, size)
        count = call(
            self.thread, ctypes.addressof(_copy.local), 1, ctypes.addressof(remote), len(pieces) // _PIECE.size, 0
        )
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
        if self._pidfd < 0:
            self._pidfd = self._open()
        try:
            return syscalls.raw("pidfd_getfd", self._pidfd, fd & 0xFFFFFFFF, 0)
        except SyscallError as error:
            if error.errno == errno.ESRCH:
                raise GoneError from error
            raise

    def socket(self) -> socket.socket:
        """A duplicate of the socket in the first argument. Raises OSError (ENOTSOCK and EBADF too), GoneError."""
        fd = self.take(self.arguments[0])
        try:
            return socket.socket(-1, -1, -1, fd)
        except OSError:
            os.close(fd)
            raise

    def _open(self) -> int:
        try:
            return os.pidfd_open(self.thread, _THREAD)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise GoneError from error
        try:  # Linux before 6.9, or no such thread
            return os.pidfd_open(self.process())
        except OSError as error:
            raise GoneError from error

    def process(self) -> int:
        """The number of the thread's process."""
        try:
            with open(f"/proc/{self.thread}/status") as lines:
                return next(int(line[5:]) for line in lines if line.startswith("Tgid:"))
        except (OSError, StopIteration) as error:
            raise GoneError from error

    # answers: exactly one of them

    def waits(self) -> bool:
        """Whether there is still somebody to answer."""
        number = ctypes.c_uint64(self.id)
        return bool(_ioctl(self.listener, notify.ID_VALID, ctypes.addressof(number)) == 0)

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
        if _libc.ptrace(_PTRACE_SEIZE, self.thread, 0, 0) < 0:
            return False
        _libc.ptrace(_PTRACE_INTERRUPT, self.thread, 0, 0)  # it stops on its way out of this call
        self.fail(errno.EINTR)
        try:
            self._wait_for_stop()
            registers = ctypes.create_string_buffer(_REGISTERS.size)
            if _libc.ptrace(_PTRACE_GETREGS, self.thread, 0, ctypes.addressof(registers)) < 0:
                raise GoneError
            values = list(_REGISTERS.unpack(registers))
            for argument, value in self._put_below(values[_RSP], plan).items():
                values[_ARGUMENTS[argument]] = value
            values[_RAX], values[_ORIG_RAX] = self.number, _NO_CALL
            values[_RIP] -= _SYSCALL_BYTES
            _REGISTERS.pack_into(registers, 0, *values)
            _libc.ptrace(_PTRACE_SETREGS, self.thread, 0, ctypes.addressof(registers))
        except ChildProcessError as error:  # it has ended
            raise GoneError from error
        finally:
            _libc.ptrace(_PTRACE_DETACH, self.thread, 0, 0)
        return True

    def _wait_for_stop(self) -> None:
        for _ in range(STOP_LOOKS):
            if os.waitpid(self.thread, _WALL | os.WNOHANG)[0]:
                return
        raise GoneError

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
        answer = ctypes.create_string_buffer(notify.ANSWER.pack(self.id, value, error, flags), notify.ANSWER.size)
        _ioctl(self.listener, notify.SEND, ctypes.addressof(answer))  # ENOENT: the caller has gone

    def give(self, fd: int, *, close_on_exec: bool, at: int | None = None) -> None:
        """Succeed with a new descriptor of the caller's that is our `fd`, which stays ours; `at` a number, if that can be."""
        flags = os.O_CLOEXEC if close_on_exec else 0
        if at is not None:
            how = notify.ADD_FD_SEND | notify.ADD_FD_AT
            request = ctypes.create_string_buffer(notify.NEW_FD.pack(self.id, how, fd, at, flags))
            if _ioctl(self.listener, notify.ADD_FD, ctypes.addressof(request)) >= 0:
                return  # else it may have no descriptors of such numbers
        request = ctypes.create_string_buffer(notify.NEW_FD.pack(self.id, notify.ADD_FD_SEND, fd, 0, flags))
        if _ioctl(self.listener, notify.ADD_FD, ctypes.addressof(request)) < 0:
            self.fail(ctypes.get_errno())

    def close(self) -> None:
        """Let go of what was opened to look at the caller."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def _size(pieces: bytes) -> int:
    """Of all an array of struct iovec points to."""
    return sum(size for _, size in _PIECE.iter_unpack(pieces))


class Mailbox:
    """Where notifications arrive: memory shared with the shim's successors, so that one taken from the queue and not
    answered is not lost with who took it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _PAGE)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))

    def receive(self, listener: int) -> Caller | None:
        """The next one; None when its caller has gone again."""
        ctypes.memset(self._address, 0, notify.NOTIFICATION.size)
        if _ioctl(listener, notify.RECEIVE, self._address) < 0:
            return None
        return Caller(listener, self._memory)

    def content(self) -> bytes:
        """What was received last, answered or not."""
        return self._memory[: notify.NOTIFICATION.size]
