"""How each system call that names one path is performed on what was found: on a descriptor, or on its directory's.

Raises OSError, Refusal, GoneError, and LeadsElsewhereError where a link leads out of what was promised.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass

from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.notify import FILES
from wherry.launcher.proc.reach import AT_FDCWD, Found, by_number

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_STAT, _STATX, _STATFS = 144, 256, 120  # sizes of the kernel's structures
NOFOLLOW, _REMOVEDIR, EMPTY_PATH = 0x100, 0x200, 0x1000  # AT_…
_FSTATFS, _FTRUNCATE = 138, 77
_UMASK = 0o022  # ours
_NOBODY = 0xFFFFFFFF  # the owner stays

Piece = int | bytes | ctypes.Array[ctypes.c_char]
Use = Callable[[Caller, Found, int], int]
"""Perform a call on what was found with these flags; the answer."""


class Umask:
    """Files are made with the caller's."""

    def __init__(self, caller: Caller) -> None:
        self._mask = caller.umask()

    def __enter__(self) -> None:
        os.umask(self._mask)

    def __exit__(self, *_: object) -> None:
        os.umask(_UMASK)


def perform(number: int, *arguments: Piece) -> int:
    """The call, by us. Raises OSError."""
    converted = [ctypes.c_long(_long(each)) if isinstance(each, int) else each for each in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *converted))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _long(value: int) -> int:
    return value - (1 << 64) if value >> 63 == 1 else value


Keeps = Callable[[Caller, os.stat_result], bool]
"""Whether a call would leave a file as it is."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a call's arguments are: `path` (-1: none), its directory's descriptor (-1: none), its flags (-1: none), then `use`.
    `nameless`: a path that is NULL means the descriptor itself."""

    use: Use
    path: int = 0
    directory: int = -1
    flags: int = -1
    always: int = 0
    changes: bool = False
    creates: bool = False
    nameless: bool = False


def _fill(number: int, size: int, argument: int) -> Use:
    """A call that looks at a descriptor and fills a structure, the argument `argument` of the original."""

    def use(caller: Caller, found: Found, flags: int) -> int:
        buffer = ctypes.create_string_buffer(size)
        with found.path(follow=not flags & NOFOLLOW) as fd:
            if number == _FSTATFS:
                perform(number, fd, buffer)
            elif number == FILES["statx"]:
                perform(number, fd, b"", flags & ~NOFOLLOW | EMPTY_PATH, caller.arguments[3], buffer)
            else:
                perform(number, fd, b"", buffer, EMPTY_PATH)
        caller.write(caller.arguments[argument], buffer.raw)
        return 0

    return use


def _access(mode: int) -> Use:
    def use(caller: Caller, found: Found, flags: int) -> int:
        with found.path(follow=not flags & NOFOLLOW) as fd:
            return perform(FILES["faccessat"], AT_FDCWD, by_number(fd), caller.arguments[mode])

    return use


def _truncate(caller: Caller, found: Found, _: int) -> int:
    fd = found.open(os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)  # truncate(2) would wait for the holder of a lease
    try:
        return perform(_FTRUNCATE, fd, caller.arguments[1])
    finally:
        os.close(fd)


def _chmod(mode: int) -> Use:
    def use(caller: Caller, found: Found, flags: int) -> int:
        with found.path(follow=not flags & NOFOLLOW) as fd:
            if stat.S_ISLNK(os.fstat(fd).st_mode):
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            return perform(FILES["fchmodat"], AT_FDCWD, by_number(fd), caller.arguments[mode])

    return use


def _chown(owner: int) -> Use:
    """What needs another user only pretends to succeed."""

    def use(caller: Caller, found: Found, flags: int) -> int:
        with found.path(follow=not flags & NOFOLLOW) as fd:
            try:
                return perform(FILES["fchownat"], fd, b"", *caller.arguments[owner : owner + 2], EMPTY_PATH)
            except PermissionError:
                return 0

    return use


def _touch(times: int, size: int, convert: Callable[[bytes], bytes]) -> Use:
    """The argument `times` points to `size` bytes, or to nothing: now."""

    def use(caller: Caller, found: Found, flags: int) -> int:
        both: Piece = 0
        if caller.arguments[times]:
            given = caller.read(caller.arguments[times], size)
            if len(given) < size:
                raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
            both = convert(given)
        with found.path(follow=not flags & NOFOLLOW) as fd:
            if flags & NOFOLLOW and stat.S_ISLNK(os.fstat(fd).st_mode):
                return perform(FILES["utimensat"], fd, b"", both, EMPTY_PATH)
            return perform(FILES["utimensat"], AT_FDCWD, by_number(fd), both, 0)

    return use


def _of_seconds(given: bytes) -> bytes:
    """struct utimbuf as two of struct timespec."""
    access, change = struct.unpack("=qq", given)
    return struct.pack("=qqqq", access, 0, change, 0)


def _of_microseconds(given: bytes) -> bytes:
    """Two of struct timeval as two of struct timespec. Raises OSError(EINVAL)."""
    first, parts, second, more = struct.unpack("=qqqq", given)
    if not (0 <= parts < 1_000_000 and 0 <= more < 1_000_000):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return struct.pack("=qqqq", first, parts * 1000, second, more * 1000)


def _keeps_mode(mode: int) -> Keeps:
    return lambda caller, facts: caller.arguments[mode] & 0o7777 == stat.S_IMODE(facts.st_mode)


def _keeps_owner(owner: int) -> Keeps:
    def keeps(caller: Caller, facts: os.stat_result) -> bool:
        user, group = (each & 0xFFFFFFFF for each in caller.arguments[owner : owner + 2])
        return user in (_NOBODY, facts.st_uid) and group in (_NOBODY, facts.st_gid)

    return keeps


def _mkdir(mode: int) -> Use:
    def use(caller: Caller, found: Found, _: int) -> int:
        with found.parent() as (fd, name), Umask(caller):
            return perform(FILES["mkdirat"], fd, name, caller.arguments[mode])

    return use


def _mknod(mode: int) -> Use:
    """Files, pipes and sockets; whoever may make devices makes them elsewhere."""

    def use(caller: Caller, found: Found, _: int) -> int:
        kind = stat.S_IFMT(caller.arguments[mode])
        if kind not in (0, stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        with found.parent() as (fd, name), Umask(caller):
            return perform(FILES["mknodat"], fd, name, caller.arguments[mode] & 0xFFFF, 0)

    return use


def _remove(caller: Caller, found: Found, flags: int) -> int:
    del caller
    with found.parent() as (fd, name):
        return perform(FILES["unlinkat"], fd, name, flags)


SHAPES = {
    "stat": Shape(_fill(FILES["newfstatat"], _STAT, 1)),
    "lstat": Shape(_fill(FILES["newfstatat"], _STAT, 1), always=NOFOLLOW),
    "newfstatat": Shape(_fill(FILES["newfstatat"], _STAT, 2), 1, 0, 3),
    "statx": Shape(_fill(FILES["statx"], _STATX, 4), 1, 0, 2),
    "statfs": Shape(_fill(_FSTATFS, _STATFS, 1)),
    "access": Shape(_access(1)),
    "faccessat": Shape(_access(2), 1, 0),
    "faccessat2": Shape(_access(2), 1, 0, 3),
    "truncate": Shape(_truncate, changes=True),
    "mkdir": Shape(_mkdir(1), always=NOFOLLOW, changes=True, creates=True),
    "mkdirat": Shape(_mkdir(2), 1, 0, always=NOFOLLOW, changes=True, creates=True),
    "mknod": Shape(_mknod(1), always=NOFOLLOW, changes=True, creates=True),
    "mknodat": Shape(_mknod(2), 1, 0, always=NOFOLLOW, changes=True, creates=True),
    "rmdir": Shape(_remove, always=_REMOVEDIR, changes=True),
    "unlink": Shape(_remove, changes=True),
    "unlinkat": Shape(_remove, 1, 0, 2, changes=True),
    "chmod": Shape(_chmod(1), changes=True),
    "fchmodat": Shape(_chmod(2), 1, 0, changes=True),
    "fchmodat2": Shape(_chmod(2), 1, 0, 3, changes=True),
    "chown": Shape(_chown(1), changes=True),
    "lchown": Shape(_chown(1), always=NOFOLLOW, changes=True),
    "fchownat": Shape(_chown(2), 1, 0, 4, changes=True),
    "fchmod": Shape(_chmod(1), -1, 0, changes=True),
    "fchown": Shape(_chown(1), -1, 0, changes=True),
    "utime": Shape(_touch(1, 16, _of_seconds), changes=True),
    "utimes": Shape(_touch(1, 32, _of_microseconds), changes=True),
    "futimesat": Shape(_touch(2, 32, _of_microseconds), 1, 0, changes=True, nameless=True),
    "utimensat": Shape(_touch(2, 32, bytes), 1, 0, 3, changes=True, nameless=True),
}
KEEPS = {
    "chmod": _keeps_mode(1),
    "fchmod": _keeps_mode(1),
    "fchmodat": _keeps_mode(2),
    "fchmodat2": _keeps_mode(2),
    "chown": _keeps_owner(1),
    "lchown": _keeps_owner(1),
    "fchown": _keeps_owner(1),
    "fchownat": _keeps_owner(2),
}
"""Of what the owner of a file may change without writing; times are never the same."""
