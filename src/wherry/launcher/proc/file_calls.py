"""System calls that name a path: those that lead to something promised (paths.py) are performed here, on the real path.

What an open gives is a descriptor of the real file, so reading, writing and listing cost what they always do. Everything is
done on descriptors that reach.py found: no link leads the shim where the container may not go by itself.
Never waits: a named pipe is opened by whoever waits for its other end.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable

from wherry.launcher.proc import attribute_calls, own_process, owner_calls, process_links
from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.file_shapes import SHAPES, Shape, Umask, perform
from wherry.launcher.proc.finding import Tell, resolve, settle
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.held import NotHeldError
from wherry.launcher.proc.notify import FILES
from wherry.launcher.proc.outcomes import Refusal
from wherry.launcher.proc.pair_calls import PAIRS, PairCall
from wherry.launcher.proc.programs import ProgramCalls
from wherry.launcher.proc.reach import Found, by_number, real_path

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_DONT_FOLLOW = 0x02000000  # IN_DONT_FOLLOW
_REMOVES = ("rmdir", "unlink", "unlinkat")


class FileCalls:
    """`handlers` by number. They raise OSError, Refusal and GoneError, and answer unless they raise."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        programs = ProgramCalls(tell)
        handlers: dict[str, Callable[[Caller, Guest], None]] = {
            "open": lambda caller, guest: self._open(caller, guest, -1, 0, caller.arguments[1], caller.arguments[2]),
            "creat": lambda caller, guest: self._open(
                caller, guest, -1, 0, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, caller.arguments[1]
            ),
            "openat": lambda caller, guest: self._open(caller, guest, 0, 1, caller.arguments[2], caller.arguments[3]),
            "openat2": self._openat2,
            "getcwd": _getcwd,
            "chdir": programs.chdir,
            "execve": programs.execve,
            "execveat": programs.execveat,
            "readlink": lambda caller, guest: self._readlink(caller, guest, 0, -1),
            "readlinkat": lambda caller, guest: self._readlink(caller, guest, 1, 0),
            "symlink": lambda caller, guest: self._symlink(caller, guest, 1, -1),
            "symlinkat": lambda caller, guest: self._symlink(caller, guest, 2, 1),
            "inotify_add_watch": self._watch,
            **attribute_calls.HANDLERS,
            **dict.fromkeys(("fsetxattr", "fremovexattr"), owner_calls.change_attribute),
        }
        for name, shape in SHAPES.items():
            handlers[name] = self._single(name, shape)
        for name, pair in PAIRS.items():
            handlers[name] = PairCall(pair, tell).handle
        self.handlers = {FILES[name]: handler for name, handler in handlers.items()}

    def _open(self, caller: Caller, guest: Guest, directory: int, path: int, flags: int, mode: int) -> None:
        flags &= 0xFFFFFFFF
        changes = bool(flags & _WRITES)
        found = resolve(caller, guest, path, directory, changes=changes, creates=bool(flags & os.O_CREAT))
        if found is None:
            if not changes or not own_process.give(caller, caller.path(caller.arguments[path]), flags):
                caller.proceed()
            return

        def use(at: Found) -> tuple[int, bytes]:
            pipe = b"" if flags & (os.O_NONBLOCK | os.O_PATH) else _pipe(at)
            return (-1, pipe) if pipe else (_opened(caller, at, flags, mode), b"")

        fd, pipe = settle(caller, guest, found, use, path, self._tell, changes=changes)
        if pipe:
            if not caller.again(lambda at: ({path: at}, pipe + b"\0")):
                raise Refusal(errno.EACCES)
            return
        try:
            if flags & os.O_PATH:  # cannot be given away
                real = real_path(fd)
                if not caller.again(lambda at: ({path: at}, real + b"\0")):
                    raise Refusal(errno.EACCES)
                return
            if not flags & os.O_NONBLOCK:
                fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NONBLOCK)
            caller.give(fd, close_on_exec=bool(flags & os.O_CLOEXEC))
        finally:
            os.close(fd)

    def _openat2(self, caller: Caller, guest: Guest) -> None:
        """Whatever it forbids of the way (`resolve`) is not looked at on a promised path."""
        how = caller.read(caller.arguments[2], 24)
        if len(how) < 24:
            raise Refusal(errno.EFAULT)
        flags, mode, _ = struct.unpack("=QQQ", how)
        self._open(caller, guest, 0, 1, flags, mode)

    def _single(self, name: str, shape: Shape) -> Callable[[Caller, Guest], None]:
        owners = name in owner_calls.NAMES

        def handle(caller: Caller, guest: Guest) -> None:
            found = resolve(caller, guest, shape.path, shape.directory, changes=shape.changes, creates=shape.creates)
            if found is None and owners:
                owner_calls.change(caller, guest, name)
                return
            if found is None:
                caller.proceed()
                return
            flags = shape.always | (caller.arguments[shape.flags] & 0xFFFFFFFF if shape.flags >= 0 else 0)
            removes = name in _REMOVES

            def use(at: Found) -> int:
                if shape.changes and at.readonly:
                    raise Refusal(errno.EROFS)
                if removes and guest.is_mount(at.name):
                    raise Refusal(errno.EBUSY)
                done = shape.use(caller, at, flags)
                if removes:
                    guest.removed(at)
                return done

            caller.succeed(settle(caller, guest, found, use, shape.path, self._tell, changes=shape.changes))

        return handle

    def _readlink(self, caller: Caller, guest: Guest, path: int, directory: int) -> None:
        found = resolve(caller, guest, path, directory)
        if found is None:
            said = process_links.text(caller, guest, caller.path(caller.arguments[path])) if guest.paths.root else None
            if said is None:
                caller.proceed()
            else:
                self._say(caller, path, said)
            return

        def use(at: Found) -> bytes:
            with at.path(follow=False) as fd:
                if not stat.S_ISLNK(os.fstat(fd).st_mode):
                    raise Refusal(errno.EINVAL)
                return os.readlink(b"", dir_fd=fd)

        self._say(caller, path, settle(caller, guest, found, use, path, self._tell))

    @staticmethod
    def _say(caller: Caller, path: int, text: bytes) -> None:
        room = caller.arguments[path + 2] & 0xFFFFFFFF
        if not 0 < room < 1 << 31:
            raise Refusal(errno.EINVAL)
        caller.write(caller.arguments[path + 1], text[:room])
        caller.succeed(len(text[:room]))

    def _symlink(self, caller: Caller, guest: Guest, path: int, directory: int) -> None:
        found = resolve(caller, guest, path, directory, changes=True, creates=True)
        if found is None:
            caller.proceed()
            return
        text = caller.path(caller.arguments[0])

        def use(at: Found) -> None:
            if at.readonly:
                raise Refusal(errno.EROFS)
            with at.parent() as (fd, name):
                os.symlink(text, name, dir_fd=fd)

        settle(caller, guest, found, use, path, self._tell, changes=True)
        caller.succeed()

    def _watch(self, caller: Caller, guest: Guest) -> None:
        """A watch belongs to the inotify instance, which our duplicate of its descriptor is too."""
        found = resolve(caller, guest, 1, -1)
        if found is None:
            caller.proceed()
            return
        mask = caller.arguments[2] & 0xFFFFFFFF
        follow = not mask & _DONT_FOLLOW

        def use(at: Found) -> int:
            with at.path(follow=follow) as there:
                return perform(FILES["inotify_add_watch"], fd, by_number(there), mask & ~_DONT_FOLLOW)

        try:
            fd = caller.take(caller.arguments[0])
        except NotHeldError:
            self._watch_by_itself(caller, guest, found, follow=follow)
            return
        try:
            caller.succeed(settle(caller, guest, found, use, 1, self._tell))
        finally:
            os.close(fd)

    def _watch_by_itself(self, caller: Caller, guest: Guest, found: Found, *, follow: bool) -> None:
        """Where descriptors may not be taken: the caller watches the real path."""

        def use(at: Found) -> bytes:
            with at.path(follow=follow) as there:
                return real_path(there)

        real = settle(caller, guest, found, use, 1, self._tell)
        if not caller.again(lambda at: ({1: at}, real + b"\0")):
            raise Refusal(errno.EACCES)


def _pipe(found: Found) -> bytes:
    """The real path of a named pipe; empty for all else. Who opens one waits for the other end, so it has to do that itself, and
    nobody may open it before. Raises OSError, LeadsElsewhereError."""
    try:
        if not stat.S_ISFIFO(os.stat(found.real).st_mode):
            return b""
    except OSError:
        return b""
    with found.path(follow=True) as fd:
        return real_path(fd) if stat.S_ISFIFO(os.fstat(fd).st_mode) else b""


def _opened(caller: Caller, found: Found, flags: int, mode: int) -> int:
    """A descriptor, or what the kernel would say. Raises OSError, Refusal, LeadsElsewhereError."""
    ours = flags | os.O_NONBLOCK | os.O_NOCTTY
    if not found.readonly:
        if not flags & os.O_CREAT:
            return found.open(ours, mode)
        with Umask(caller):
            return found.open(ours, mode)
    if flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC) or flags & os.O_TMPFILE == os.O_TMPFILE:
        raise Refusal(errno.EROFS)
    try:
        return found.open(ours & ~os.O_CREAT)  # an existing file opened for reading with O_CREAT is no change
    except FileNotFoundError:
        raise Refusal(errno.EROFS if flags & os.O_CREAT else errno.ENOENT) from None


def _getcwd(caller: Caller, guest: Guest) -> None:
    try:
        real = os.fsencode(os.readlink(f"/proc/{caller.thread}/cwd"))
    except OSError:
        caller.proceed()
        return
    shown = guest.shown(real)
    if shown is None:
        caller.proceed()
        return
    if len(shown) + 1 > caller.arguments[1]:
        raise Refusal(errno.ERANGE)
    caller.write(caller.arguments[0], shown + b"\0")
    caller.succeed(len(shown) + 1)
