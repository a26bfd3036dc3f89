"""Memory of a thread that waits for an answer.

It is read through process_vm_readv(2), which needs no descriptor that an execve would leave behind; it is written the same way,
and where the page is read-only through /proc/PID/mem. What every call needs is made once, since a connection waits for it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable

from wherry.launcher.proc.outcomes import GoneError

_libc = ctypes.CDLL(None, use_errno=True)
_ulong, _pointer = ctypes.c_ulong, ctypes.c_void_p
for _name in ("process_vm_readv", "process_vm_writev"):
    _function = getattr(_libc, _name)
    _function.argtypes = [ctypes.c_int, _pointer, _ulong, _pointer, _ulong, _ulong]
    _function.restype = ctypes.c_ssize_t
_readv, _writev = _libc.process_vm_readv, _libc.process_vm_writev

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PATH_BYTES_MAX = 4096  # PATH_MAX
POINTERS_MAX = 65536  # words of a command line
BUFFER_BYTES = 65536
"""At once: the largest datagram of UDP, and what is looked at most of any other."""
_PIECE = struct.Struct("=QQ")  # struct iovec
_PIECES = struct.Struct("=QQQQ")  # ours, then the caller's


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


class Memory(ABC):
    """Of the thread with the number `thread`. `check` says whether it is still that one."""

    __slots__ = ("thread",)

    def __init__(self, thread: int) -> None:
        self.thread = thread

    @abstractmethod
    def check(self) -> None:
        """Raises GoneError."""

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
            piece = self.peek(address + len(found), min(256, _PAGE_BYTES - (address + len(found)) % _PAGE_BYTES))
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
            piece = self.read(at, _PAGE_BYTES - at % _PAGE_BYTES)
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
        self.force(address, data)

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

    def force(self, address: int, data: bytes, *, check: bool = True) -> None:
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


def _size(pieces: bytes) -> int:
    """Of all an array of struct iovec points to."""
    return sum(size for _, size in _PIECE.iter_unpack(pieces))
