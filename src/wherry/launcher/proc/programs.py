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
from wherry.launcher.proc.finding import Tell, follow, printable, resolve, settle
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.interpreters import runnable
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
        """By a descriptor mostly, which is the kernel's to do."""
        del guest
        caller.becomes_another()
        caller.proceed()

    def execve(self, caller: Caller, guest: Guest) -> None:
        caller.becomes_another()
        found = resolve(caller, guest, 0, -1, everything=True)  # a script's `#!` may name something promised
        if found is None:
            caller.proceed()
            return
        real, words = settle(caller, guest, found, _program, 0, self._tell)
        name = caller.path(caller.arguments[0])
        if not words:
            ready = runnable(guest, real)
            done = caller.again(lambda at: ({0: at}, ready + b"\0"))
        else:
            # As the kernel does for `#!`, but with the names that the container knows.
            rest = caller.pointers(caller.arguments[1])[1:]
            program, words = _interpreted(guest, words)
            ready = runnable(guest, program)
            done = caller.again(lambda at: _command_line(at, ready, [*words, name], rest))
        if not done:
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


def _program(found: Found) -> tuple[bytes, list[bytes]]:
    """Its real path, and the words of its `#!` line. Raises OSError, Refusal, LeadsElsewhereError."""
    with found.path(follow=True) as fd:
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
