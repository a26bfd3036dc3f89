"""What the owner of a file may do to it without writing: set its mode, owner, times and extended attributes.

Pods run as the user who started Wherry, Landlock does not look at these calls, and any descriptor is enough for them. So none
is left to the kernel: what a descriptor, or a path that leads to nothing promised, names is opened here, as a name only, and the
call is performed on that if it lies where the container may write. Whatever changes meanwhile, what was looked at is changed.

    where the container may write (as container.py tells Landlock), what has no name, terminals    performed
    a read-only volume or root                                                                     EROFS
    a regular file of the machine                                                                  on a copy, as for a path
    times of a directory of the machine                                                            on the layer's, for images
    anything else of the machine                                                                   EPERM, unless it is so already
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.file_shapes import EMPTY_PATH, KEEPS, NOFOLLOW, SHAPES, Shape, perform
from wherry.launcher.proc.finding import signed
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.notify import FILES
from wherry.launcher.proc.outcomes import Refusal
from wherry.launcher.proc.reach import AT_FDCWD, Found, by_number, real_path

NAMES = (
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "utime", "utimes", "futimesat",
    "utimensat",
)  # fmt: skip
"""Where file_calls.py found no path to something promised, `change` goes on."""
_TIMES = ("utime", "utimes", "futimesat", "utimensat")
_TERMINALS = b"/dev/pts/"
_STANDARD = {b"/dev/stdin": b"/proc/self/fd/0", b"/dev/stdout": b"/proc/self/fd/1", b"/dev/stderr": b"/proc/self/fd/2"}
_FD, _MINE = re.compile(rb"^/dev/fd(?=/|$)"), re.compile(rb"^/proc/(?:thread-)?self(?=/|$)")  # ours, if we opened them
_GONE = b" (deleted)"
_ATTRIBUTE_NAME_MAX = 256  # XATTR_NAME_MAX, and its zero byte
_ATTRIBUTE_BYTES_MAX = 65536  # XATTR_SIZE_MAX


class Named(Found):
    """What a descriptor of ours names. Always true: `path` gives that, whatever its real path leads to by now."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int, real: bytes) -> None:
        super().__init__(real, real, real, readonly=False)
        self._fd = fd

    @contextmanager
    def path(self, *, follow: bool) -> Iterator[int]:
        del follow
        yield self._fd


def change(caller: Caller, guest: Guest, name: str) -> None:
    """Perform a call of `NAMES` that names no path, or one that leads to nothing promised. Answers unless it raises: OSError,
    Refusal, GoneError."""
    shape = SHAPES[name]
    flags = shape.always | (caller.arguments[shape.flags] & 0xFFFFFFFF if shape.flags >= 0 else 0)
    if flags & ~(NOFOLLOW | EMPTY_PATH):
        raise Refusal(errno.EINVAL)
    with _named(caller, shape, flags) as (fd, by_path):
        found = _changeable(guest, fd, by_path=by_path, times=name in _TIMES)
        if found is None:
            if name in _TIMES or not KEEPS[name](caller, os.fstat(fd)):
                raise Refusal(errno.EPERM)
            caller.succeed()
        else:
            caller.succeed(shape.use(caller, found, flags & NOFOLLOW))


def change_attribute(caller: Caller, guest: Guest) -> None:
    """fsetxattr(2), fremovexattr(2). As `change`, but there are no copies."""
    with _descriptor(caller, caller.arguments[0]) as fd:
        if not isinstance(_changeable(guest, fd, by_path=False, copies=False), Named):
            raise Refusal(errno.EOPNOTSUPP)
        name = caller.read(caller.arguments[1], _ATTRIBUTE_NAME_MAX).split(b"\0")[0]
        if caller.number == FILES["fremovexattr"]:
            caller.succeed(perform(FILES["removexattr"], by_number(fd), name))
            return
        size = caller.arguments[3]
        if size > _ATTRIBUTE_BYTES_MAX:
            raise Refusal(errno.E2BIG)
        value = caller.read(caller.arguments[2], size) if size else b""
        if len(value) < size:
            raise Refusal(errno.EFAULT)
        flags = caller.arguments[4] & 0xFFFFFFFF
        caller.succeed(perform(FILES["setxattr"], by_number(fd), name, value, size, flags))


def _changeable(guest: Guest, fd: int, *, by_path: bool, copies: bool = True, times: bool = False) -> Found | None:
    """What to perform a call on, or None. A `by_path` may be something of ours. Raises Refusal(EROFS), OSError."""
    real, facts = real_path(fd), os.fstat(fd)
    is_gone = not facts.st_nlink and real.endswith(_GONE)  # memory, what was removed
    if (is_gone or not real.startswith(b"/")) and not by_path:  # pipes and sockets have no path at all
        return Named(fd, real)
    if real.startswith(_TERMINALS) or guest.may_write(real):
        return Named(fd, real)
    if guest.is_readonly(real):
        raise Refusal(errno.EROFS)
    if copies and stat.S_ISREG(facts.st_mode):
        return guest.find(real, changes=True)
    if times and guest.overlay is not None and stat.S_ISDIR(facts.st_mode):
        return guest.overlay.directory(real)
    return None


@contextmanager
def _named(caller: Caller, shape: Shape, flags: int) -> Iterator[tuple[int, bool]]:
    """A descriptor of ours that names what a call does, and whether it does by a path. Raises OSError, Refusal, GoneError."""
    start = signed(caller.arguments[shape.directory]) if shape.directory >= 0 else AT_FDCWD
    address = caller.arguments[shape.path] if shape.path >= 0 else 0
    path = caller.path(address) if address else b""
    if shape.path < 0 and start == AT_FDCWD:
        raise Refusal(errno.EBADF)
    if shape.path < 0 or (not path and flags & EMPTY_PATH) or (not address and shape.nameless and start != AT_FDCWD):
        with _descriptor(caller, start) as fd:
            yield fd, False
        return
    if not path:
        raise Refusal(errno.ENOENT if address else errno.EFAULT)
    path = _MINE.sub(b"/proc/%d" % caller.thread, _FD.sub(b"/proc/self/fd", _STANDARD.get(path, path)))
    how = os.O_PATH | os.O_CLOEXEC | (os.O_NOFOLLOW if flags & NOFOLLOW else 0)
    if path.startswith(b"/"):
        fd = os.open(path, how)
    else:
        with _descriptor(caller, start) as folder:
            fd = os.open(path, how, dir_fd=folder)
    try:
        caller.check()
        yield fd, not re.fullmatch(rb"/proc/%d/fd/\d+" % caller.thread, path)
    finally:
        os.close(fd)


@contextmanager
def _descriptor(caller: Caller, number: int) -> Iterator[int]:
    """Of what one of the caller's names, or of its directory. Not a duplicate, which where descriptors may not be taken there is
    none of. Raises Refusal(EBADF), OSError, GoneError."""
    number = signed(number)
    place = "cwd" if number == AT_FDCWD else f"fd/{number}"
    try:
        fd = os.open(f"/proc/{caller.thread}/{place}", os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Refusal(errno.EBADF) from error
    try:
        caller.check()
        yield fd
    finally:
        os.close(fd)
