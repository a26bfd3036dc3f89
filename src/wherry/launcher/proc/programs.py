"""chdir and execve: what cannot be performed for another process, that process makes again with the real path.

The path lies below its stack then. A script whose `#!` names something promised becomes its interpreter's command line, with
the names that the container knows.
"""

from __future__ import annotations

import errno
import os
import stat
import struct

from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.executables import HEAD_BYTES, shebang
from wherry.launcher.proc.file_shapes import EMPTY_PATH, NOFOLLOW
from wherry.launcher.proc.finding import Tell, follow, printable, resolve, settle, signed, start_of
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.interpreters import runnable
from wherry.launcher.proc.notify import FILES
from wherry.launcher.proc.outcomes import Refusal
from wherry.launcher.proc.reach import Found, LeadsElsewhereError, by_number, real_path

INTERPRETERS_MAX = 5
"""Scripts that interpret one another, as in the kernel."""


class ProgramCalls:
    """Raise OSError, Refusal and GoneError, and answer unless they raise."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def chdir(self, caller: Caller, guest: Guest) -> None:
        found = resolve(caller, guest, 0, -1)
        if found is None:
            caller.proceed()
            return
        real = settle(caller, guest, found, _directory, 0, self._tell)
        if not caller.again(lambda at: ({0: at}, real + b"\0")):
            self._refuse(guest, "chdir", caller.path(caller.arguments[0]))

    def execveat(self, caller: Caller, guest: Guest) -> None:
        """By a descriptor mostly, which is the kernel's to do, unless it would look for an interpreter at the machine's root."""
        caller.becomes_another()
        if guest.paths.root is None:
            caller.proceed()
            return
        name = caller.path(caller.arguments[1])
        flags = caller.arguments[4] & 0xFFFFFFFF
        if name:
            found = resolve(caller, guest, 1, 0, everything=True)
        elif flags & EMPTY_PATH:
            shown = guest.shown(start_of(caller, signed(caller.arguments[0])))
            found = None if shown is None else guest.find(shown, changes=False)
            name = shown or b""
        else:
            raise Refusal(errno.ENOENT)
        if found is None:
            caller.proceed()
            return
        self._execute(caller, guest, found, name, 1, follow=not flags & NOFOLLOW)

    def execve(self, caller: Caller, guest: Guest) -> None:
        caller.becomes_another()
        found = resolve(caller, guest, 0, -1, everything=True)  # a script's `#!` may name something promised
        if found is None:
            caller.proceed()
            return
        self._execute(caller, guest, found, caller.path(caller.arguments[0]), 0)

    def _execute(
        self, caller: Caller, guest: Guest, found: Found, name: bytes, path: int, *, follow: bool = True
    ) -> None:
        """What is found, `name` to the container, by the call's argument `path` and those behind it."""

        def use(at: Found) -> tuple[bytes, list[bytes]]:
            return _program(at, follow=follow)

        words_at, environment = caller.arguments[path + 1 : path + 3]
        real, words = settle(caller, guest, found, use, path, self._tell)
        if words:
            # As the kernel does for `#!`, but with the names that the container knows.
            rest = caller.pointers(words_at)[1:]
            program, words = _interpreted(guest, words)
            ready = runnable(guest, program, name)

            def plan(at: int) -> tuple[dict[int, int], bytes]:
                arguments, block = _command_line(at, ready, [*words, name], rest)
                return {**arguments, 2: environment}, block

        else:
            ready = runnable(guest, real, name)

            def plan(at: int) -> tuple[dict[int, int], bytes]:
                return {0: at, 1: words_at, 2: environment}, ready + b"\0"

        if not caller.again(plan, FILES["execve"]):
            self._refuse(guest, "execve", name)

    def _refuse(self, guest: Guest, call: str, path: bytes) -> None:
        self._tell(guest, f"{call} {printable(path)}: the process cannot be traced")
        raise Refusal(errno.EACCES)


def _directory(found: Found) -> bytes:
    """Its real path. Raises OSError, LeadsElsewhereError."""
    fd = found.open(os.O_PATH | os.O_DIRECTORY)
    try:
        return real_path(fd)
    finally:
        os.close(fd)


def _program(found: Found, *, follow: bool = True) -> tuple[bytes, list[bytes]]:
    """Its real path, and the words of its `#!` line. Raises OSError, Refusal, LeadsElsewhereError."""
    with found.path(follow=follow) as fd:
        if stat.S_ISLNK(os.fstat(fd).st_mode):
            raise Refusal(errno.ELOOP)
        if not stat.S_ISREG(os.fstat(fd).st_mode) or not os.access(by_number(fd), os.X_OK):
            raise Refusal(errno.EACCES)
        real = real_path(fd)
        try:
            readable = os.open(by_number(fd), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return real, []
    try:
        return real, shebang(os.read(readable, HEAD_BYTES))
    finally:
        os.close(readable)


def _interpreted(guest: Guest, words: list[bytes]) -> tuple[bytes, list[bytes]]:
    """The real path of the program that interprets a script, and the words before the script's name: an interpreter may be a
    script. To the end of all links: a call that is made again once more would put its path where the words of this one lie.

    Raises OSError(ELOOP) for more of them than the kernel takes."""
    for _ in range(INTERPRETERS_MAX):
        found = guest.find(words[0], changes=False)
        try:
            if found is None:
                return words[0], words
            real, above = follow(guest, found, _program)
        except LeadsElsewhereError as elsewhere:
            return elsewhere.path, words
        if not above or guest.paths.root is None:
            return real, words
        words = [*above, *words]
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


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
