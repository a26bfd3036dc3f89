"""System calls that name a path: those that lead to something promised (paths.py) are performed here, on the real path.

What an open gives is a descriptor of the real file, so reading, writing and listing cost what they always do. Two calls cannot
be performed for somebody else, chdir and execve: the caller makes them again with the real path, which lies below its stack.
Never waits: a pipe is opened without, and one without a reader fails as it does for O_NONBLOCK.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.notify import FILES
from wherry.launcher.proc.routing import Refusal

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_AT_FDCWD = -100
_O_TMPFILE = 0o20200000
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_STAT, _STATX, _STATFS, _TIMES = 144, 256, 120, 32  # sizes of the kernel's structures


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where a call's arguments are: `path`, its directory's descriptor (-1: none), what is filled (argument, bytes)."""

    path: int = 0
    directory: int = -1
    fills: tuple[int, int] | None = None
    reads: tuple[int, int] | None = None
    changes: bool = False


_SHAPES = {
    "stat": _Shape(fills=(1, _STAT)),
    "lstat": _Shape(fills=(1, _STAT)),
    "newfstatat": _Shape(1, 0, fills=(2, _STAT)),
    "statx": _Shape(1, 0, fills=(4, _STATX)),
    "statfs": _Shape(fills=(1, _STATFS)),
    "access": _Shape(),
    "faccessat": _Shape(1, 0),
    "faccessat2": _Shape(1, 0),
    "truncate": _Shape(changes=True),
    "mkdir": _Shape(changes=True),
    "mkdirat": _Shape(1, 0, changes=True),
    "rmdir": _Shape(changes=True),
    "unlink": _Shape(changes=True),
    "unlinkat": _Shape(1, 0, changes=True),
    "chmod": _Shape(changes=True),
    "fchmodat": _Shape(1, 0, changes=True),
    "chown": _Shape(changes=True),
    "lchown": _Shape(changes=True),
    "fchownat": _Shape(1, 0, changes=True),
    "utimensat": _Shape(1, 0, reads=(2, _TIMES), changes=True),
}
_PAIRS = {
    # (path, directory) of both; rename and link take no flags, their younger kin do
    "rename": ((0, -1), (1, -1)),
    "link": ((0, -1), (1, -1)),
    "renameat": ((1, 0), (3, 2)),
    "renameat2": ((1, 0), (3, 2)),
    "linkat": ((1, 0), (3, 2)),
}
_OWNERS = ("chown", "lchown", "fchownat")
_REMOVES = ("rmdir", "unlink", "unlinkat")

Tell = Callable[[Guest, str], None]


class FileCalls:
    """`handlers` by number. They raise OSError, Refusal and GoneError, and answer unless they raise."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        handlers: dict[str, Callable[[Caller, Guest], None]] = {
            "open": lambda caller, guest: self._open(caller, guest, -1, 0, caller.arguments[1], caller.arguments[2]),
            "creat": lambda caller, guest: self._open(
                caller, guest, -1, 0, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, caller.arguments[1]
            ),
            "openat": lambda caller, guest: self._open(caller, guest, 0, 1, caller.arguments[2], caller.arguments[3]),
            "openat2": self._openat2,
            "getcwd": _getcwd,
            "chdir": self._chdir,
            "execve": self._execve,
            "readlink": lambda caller, guest: _readlink(caller, guest, 0, -1),
            "readlinkat": lambda caller, guest: _readlink(caller, guest, 1, 0),
            "symlink": lambda caller, guest: _symlink(caller, guest, 1, -1),
            "symlinkat": lambda caller, guest: _symlink(caller, guest, 2, 1),
            "inotify_add_watch": _watch,
            "getxattr": _no_attribute,
            "lgetxattr": _no_attribute,
            "listxattr": _no_attributes,
            "llistxattr": _no_attributes,
        }
        for name, shape in _SHAPES.items():
            handlers[name] = _single(name, shape)
        for name, pair in _PAIRS.items():
            handlers[name] = _double(name, pair)
        self.handlers = {FILES[name]: handler for name, handler in handlers.items()}

    def _open(self, caller: Caller, guest: Guest, directory: int, path: int, flags: int, mode: int) -> None:
        flags &= 0xFFFFFFFF
        found = resolve(caller, guest, path, directory, changes=bool(flags & _WRITES))
        if found is None:
            caller.proceed()
            return
        if found[1] and (flags & _WRITES or flags & _O_TMPFILE == _O_TMPFILE):
            # An existing file opened for reading with O_CREAT is no change.
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC) or not os.path.exists(found[0]):
                raise Refusal(errno.EROFS)
            flags &= ~os.O_CREAT
        fd = os.open(found[0], flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, mode & 0o7777)
        try:
            if not flags & (os.O_NONBLOCK | os.O_PATH):
                fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NONBLOCK)
            caller.give(fd, close_on_exec=bool(flags & os.O_CLOEXEC))
        finally:
            os.close(fd)

    def _openat2(self, caller: Caller, guest: Guest) -> None:
        """Whatever it forbids of the way (`resolve`) is not looked at on a promised path."""
        flags, mode, _ = struct.unpack("=QQQ", caller.read(caller.arguments[2], 24))
        self._open(caller, guest, 0, 1, flags, mode)

    def _chdir(self, caller: Caller, guest: Guest) -> None:
        found = resolve(caller, guest, 0, -1)
        if found is None:
            caller.proceed()
        elif not os.path.isdir(found[0]):
            raise Refusal(errno.ENOTDIR if os.path.exists(found[0]) else errno.ENOENT)
        elif not caller.again(lambda at: ({0: at}, found[0] + b"\0")):
            self._refuse(guest, "chdir", caller.path(caller.arguments[0]))

    def _execve(self, caller: Caller, guest: Guest) -> None:
        found = resolve(caller, guest, 0, -1)
        if found is None:
            caller.proceed()
            return
        real = found[0]
        if os.path.isdir(real) or not os.access(real, os.X_OK):
            raise Refusal(errno.EACCES if os.path.exists(real) else errno.ENOENT)
        name = caller.path(caller.arguments[0])
        words = _interpreter(real)
        if not words:
            done = caller.again(lambda at: ({0: at}, real + b"\0"))
        else:
            # As the kernel does for `#!`, but with the names that the container knows.
            rest = caller.pointers(caller.arguments[1])[1:]
            program = _where(guest, words[0])
            done = caller.again(lambda at: _command_line(at, program, [*words, name], rest))
        if not done:
            self._refuse(guest, "execve", name)

    def _refuse(self, guest: Guest, call: str, path: bytes) -> None:
        self._tell(guest, f"{call} {os.fsdecode(path)}: the process cannot be traced")
        raise Refusal(errno.EACCES)


def resolve(
    caller: Caller, guest: Guest, path: int, directory: int, *, changes: bool = False
) -> tuple[bytes, bool] | None:
    """(Real path, read-only) of what a call names; None: the kernel finds it. Arguments are given by their number."""
    address = caller.arguments[path]
    if address == 0:  # futimens(3): the descriptor itself
        return None
    name = caller.path(address)
    if name[:1] != b"/":
        concerns = guest.paths.concerns(name)
        if not name or not (concerns or guest.overlay):
            return None
        real = _base(caller, directory)
        shown = _shown(guest, real)
        if (shown is not None and not concerns) or not real.startswith(
            b"/"
        ):  # it is in the real place already; a socket
            return None
        name = (shown or real).rstrip(b"/") + b"/" + name
    return _find(guest, name, changes=changes)


def _find(guest: Guest, name: bytes, *, changes: bool) -> tuple[bytes, bool] | None:
    """Of an absolute path."""
    if guest.overlay is not None and guest.overlay.shown(name) is not None:
        return None  # the real path, of a call that is made again
    found = guest.paths.find(name)
    if found is not None or guest.overlay is None:
        return found
    own = guest.overlay.find(name, changes=changes)
    return None if own is None else (own, False)


def _where(guest: Guest, name: bytes) -> bytes:
    """The real path of an absolute one, the machine's too."""
    found = _find(guest, name, changes=False)
    return name if found is None else found[0]


def _base(caller: Caller, directory: int) -> bytes:
    """The real directory that a relative path begins at."""
    fd = _AT_FDCWD if directory < 0 else _signed(caller.arguments[directory])
    link = f"/proc/{caller.thread}/cwd" if fd == _AT_FDCWD else f"/proc/{caller.thread}/fd/{fd}"
    try:
        return os.fsencode(os.readlink(link))
    except OSError as error:
        raise Refusal(errno.EBADF) from error


def _shown(guest: Guest, real: bytes) -> bytes | None:
    """How the container names a real path."""
    return guest.paths.shown(real) or (guest.overlay.shown(real) if guest.overlay else None)


def _interpreter(program: bytes) -> list[bytes]:
    """The words of a `#!` line; none for a program."""
    try:
        with open(program, "rb") as file:
            first = file.read(256).split(b"\n", 1)[0]
    except OSError:
        return []
    return [word.strip() for word in first[2:].split(None, 1)] if first.startswith(b"#!") else []


def _command_line(address: int, program: bytes, words: list[bytes], rest: list[int]) -> tuple[dict[int, int], bytes]:
    """`program` and an argv at `address`: pointers to `words`, which follow, and the `rest`."""
    count = len(words) + len(rest) + 1
    at = address + 8 * count
    pointers = []
    for word in words:
        pointers.append(at)
        at += len(word) + 1
    block = struct.pack(f"={count}Q", *pointers, *rest, 0) + b"".join(word + b"\0" for word in (*words, program))
    return {0: at, 1: address}, block


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value


def _perform(number: int, arguments: list[int | bytes | ctypes.Array[ctypes.c_char]], *, pretend: bool = False) -> int:
    """The call, by us; what needs another user only `pretend`s to succeed. Raises OSError."""
    converted = [ctypes.c_long(_long(each)) if isinstance(each, int) else each for each in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *converted))
    if result < 0:
        number = ctypes.get_errno()
        if pretend and number == errno.EPERM:
            return 0
        raise OSError(number, os.strerror(number))
    return result


def _long(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _single(name: str, shape: _Shape) -> Callable[[Caller, Guest], None]:
    number = FILES[name]

    def handle(caller: Caller, guest: Guest) -> None:
        found = resolve(caller, guest, shape.path, shape.directory, changes=shape.changes)
        if found is None:
            caller.proceed()
            return
        if shape.changes and found[1]:
            raise Refusal(errno.EROFS)
        if name in _REMOVES and guest.paths.is_promised_itself(caller.path(caller.arguments[shape.path])):
            raise Refusal(errno.EBUSY)
        arguments: list[int | bytes | ctypes.Array[ctypes.c_char]] = list(caller.arguments)
        arguments[shape.path] = found[0]
        if shape.directory >= 0:
            arguments[shape.directory] = _AT_FDCWD
        if shape.reads and caller.arguments[shape.reads[0]]:
            arguments[shape.reads[0]] = caller.read(caller.arguments[shape.reads[0]], shape.reads[1])
        filled = None
        if shape.fills:
            filled = arguments[shape.fills[0]] = ctypes.create_string_buffer(shape.fills[1])
        result = _perform(number, arguments, pretend=name in _OWNERS)
        if shape.fills and filled is not None:
            caller.write(caller.arguments[shape.fills[0]], filled.raw)
        caller.succeed(result)

    return handle


def _double(name: str, pair: tuple[tuple[int, int], tuple[int, int]]) -> Callable[[Caller, Guest], None]:
    number = FILES[name]

    def handle(caller: Caller, guest: Guest) -> None:
        found = [resolve(caller, guest, *place, changes=True) for place in pair]
        if found[0] is None and found[1] is None:
            caller.proceed()
            return
        arguments: list[int | bytes | ctypes.Array[ctypes.c_char]] = list(caller.arguments)
        for (path, directory), place in zip(pair, found, strict=True):
            if place is None:
                raise Refusal(errno.EXDEV)  # as between two mounts
            if place[1]:
                raise Refusal(errno.EROFS)
            arguments[path] = place[0]
            if directory >= 0:
                arguments[directory] = _AT_FDCWD
        caller.succeed(_perform(number, arguments))

    return handle


def _readlink(caller: Caller, guest: Guest, path: int, directory: int) -> None:
    found = resolve(caller, guest, path, directory)
    if found is None:
        caller.proceed()
        return
    text = os.readlink(found[0])[: caller.arguments[path + 2]]
    caller.write(caller.arguments[path + 1], text)
    caller.succeed(len(text))


def _symlink(caller: Caller, guest: Guest, path: int, directory: int) -> None:
    found = resolve(caller, guest, path, directory, changes=True)
    if found is None:
        caller.proceed()
        return
    if found[1]:
        raise Refusal(errno.EROFS)
    os.symlink(caller.path(caller.arguments[0]), found[0])
    caller.succeed()


def _getcwd(caller: Caller, guest: Guest) -> None:
    try:
        real = os.fsencode(os.readlink(f"/proc/{caller.thread}/cwd"))
    except OSError:
        caller.proceed()
        return
    shown = _shown(guest, real)
    if shown is None:
        caller.proceed()
        return
    if len(shown) + 1 > caller.arguments[1]:
        raise Refusal(errno.ERANGE)
    caller.write(caller.arguments[0], shown + b"\0")
    caller.succeed(len(shown) + 1)


def _no_attribute(caller: Caller, guest: Guest) -> None:
    """Extended attributes of what was promised are not shown: programs ask for labels and lists of access."""
    if resolve(caller, guest, 0, -1) is None:
        caller.proceed()
    else:
        raise Refusal(errno.ENODATA)


def _no_attributes(caller: Caller, guest: Guest) -> None:
    if resolve(caller, guest, 0, -1) is None:
        caller.proceed()
    else:
        caller.succeed()


def _watch(caller: Caller, guest: Guest) -> None:
    """A watch belongs to the inotify instance, which our duplicate of its descriptor is too."""
    found = resolve(caller, guest, 1, -1)
    if found is None:
        caller.proceed()
        return
    fd = caller.take(caller.arguments[0])
    try:
        caller.succeed(_perform(FILES["inotify_add_watch"], [fd, found[0], caller.arguments[2] & 0xFFFFFFFF]))
    finally:
        os.close(fd)
