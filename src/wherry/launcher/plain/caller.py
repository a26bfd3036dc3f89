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
import struct

from wherry.launcher import syscalls
from wherry.launcher.plain import notify
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
_PTRACE_DETACH, _PTRACE_SEIZE, _PTRACE_INTERRUPT = 17, 0x4206, 0x4207
_WALL = 0x40000000  # wait for what is no child of ours but traced
STOP_LOOKS = 100_000  # some 50 ms; a chdir takes microseconds, and whoever is slower finds its path changed


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

    def _force(self, address: int, data: bytes, *, check: bool = True) -> None:
        """Into a page that the caller itself may not write, such as a constant's."""
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

    def proceed_with(self, address: int, data: bytes) -> bool:
        """Let the kernel do it with `data` at `address`, and put back what was there before the caller runs again.

        For as long the caller is traced. False, and nothing is done, where it may not be (somebody else traces it). Raises
        OSError, GoneError."""
        before = self.read(address, len(data))
        if _libc.ptrace(_PTRACE_SEIZE, self.thread, 0, 0) < 0:
            return False
        _libc.ptrace(_PTRACE_INTERRUPT, self.thread, 0, 0)  # it stops on its way out of the call
        try:
            self.write(address, data)
            self.proceed()
            for _ in range(STOP_LOOKS):
                if os.waitpid(self.thread, _WALL | os.WNOHANG)[0]:
                    break
            self._force(address, before, check=False)
        except ChildProcessError as error:  # it has ended
            raise GoneError from error
        finally:
            _libc.ptrace(_PTRACE_DETACH, self.thread, 0, 0)
        return True

    def succeed(self, value: int = 0) -> None:
        self._answer(value, 0, 0)

    def fail(self, number: int) -> None:
        """With an errno."""
        self._answer(0, -number, 0)

    def _answer(self, value: int, error: int, flags: int) -> None:
        answer = ctypes.create_string_buffer(notify.ANSWER.pack(self.id, value, error, flags), notify.ANSWER.size)
        _ioctl(self.listener, notify.SEND, ctypes.addressof(answer))  # ENOENT: the caller has gone

    def give(self, fd: int, *, close_on_exec: bool) -> None:
        """Succeed with a new descriptor of the caller's that is our `fd`, which stays ours."""
        flags = os.O_CLOEXEC if close_on_exec else 0
        request = ctypes.create_string_buffer(notify.NEW_FD.pack(self.id, notify.ADD_FD_SEND, fd, 0, flags))
        if _ioctl(self.listener, notify.ADD_FD, ctypes.addressof(request)) < 0:
            self.fail(ctypes.get_errno())

    def lend(self, fd: int, *, close_on_exec: bool) -> int:
        """Put our `fd` into the caller's table without answering yet; its number there.

        Raises OSError, GoneError."""
        request = ctypes.create_string_buffer(
            notify.NEW_FD.pack(self.id, 0, fd, 0, os.O_CLOEXEC if close_on_exec else 0)
        )
        number = int(_ioctl(self.listener, notify.ADD_FD, ctypes.addressof(request)))
        if number < 0:
            self._failed()
        return number

    def close(self) -> None:
        """Let go of what was opened to look at the caller."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


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
