"""What a path in a system call leads to: something promised, or the machine's own, which is the kernel's to find."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TypeVar

from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.outcomes import GoneError, Refusal
from wherry.launcher.proc.reach import AT_FDCWD, LINKS_MAX, Found, LeadsElsewhereError, leads_away

Result = TypeVar("Result")
Tell = Callable[[Guest, str], None]


class MadeAgainError(GoneError):
    """The caller makes its call again, by another path: nobody waits for an answer to this one."""


def resolve(
    caller: Caller,
    guest: Guest,
    path: int,
    directory: int,
    *,
    changes: bool = False,
    creates: bool = False,
    everything: bool = False,
) -> Found | None:
    """What a call names; None: the kernel finds it. Arguments are given by their number. With `everything` it is not left to
    the kernel because it begins in the real place already: the other path of the call is ours to find."""
    address = caller.arguments[path] if path >= 0 else 0
    if address == 0:  # futimens(3): the descriptor itself
        return None
    start = AT_FDCWD if directory < 0 else signed(caller.arguments[directory])
    if changes or creates:  # something may be copied or removed for it
        name = caller.path(address)
        return resolve_name(caller, guest, name, start, changes=changes, creates=creates, everything=everything)
    # Most paths are the kernel's to find, whoever asks by now: only for the others it matters that it is still the caller.
    glimpses = caller.glimpses
    seen = glimpses.path(caller.thread, address)
    if seen is not None and seen[:1] == b"/" and guest.find(seen, changes=False) is None:
        return None
    name = caller.peek_path(address)
    found = resolve_name(caller, guest, name, start, changes=False, everything=everything)
    if found is None:
        if name[:1] == b"/":
            glimpses.machines(caller.thread)
        return None
    glimpses.promised(caller.thread)
    caller.check()
    return found


def resolve_name(
    caller: Caller,
    guest: Guest,
    name: bytes,
    start: int = AT_FDCWD,
    *,
    changes: bool,
    creates: bool = False,
    everything: bool = False,
) -> Found | None:
    """The same of a path that is known, from a directory's descriptor."""
    if name[:1] != b"/":
        # In an own root nothing is changed by the kernel: what was looked at is what is changed, or is read-only.
        everything = everything or (guest.paths.root is not None and (changes or creates))
        concerns = everything or guest.paths.concerns(name)
        if not name:
            return None
        real = start_of(caller, start)
        shown = guest.shown(real)
        if not real.startswith(b"/"):
            return None  # a socket
        if shown is not None and not (concerns or leads_away(real, name)):
            return None  # it is in the real place already
        name = (shown or real).rstrip(b"/") + b"/" + name
    return guest.find(name, changes=changes, creates=creates)


def settle(
    caller: Caller,
    guest: Guest,
    found: Found,
    use: Callable[[Found], Result],
    argument: int,
    tell: Tell,
    *,
    changes: bool = False,
) -> Result:
    """`follow`; a link to the machine's own files is the caller's to follow, which makes its call again with that path.

    Raises MadeAgainError then; OSError, Refusal, GoneError."""
    try:
        return follow(guest, found, use, changes=changes)
    except LeadsElsewhereError as elsewhere:
        path = elsewhere.path
    if not caller.again(lambda at: ({argument: at}, path + b"\0")):
        tell(guest, f"a link to {printable(path)}: the process cannot be traced")
        raise Refusal(errno.EACCES)
    raise MadeAgainError


def follow(guest: Guest, found: Found, use: Callable[[Found], Result], *, changes: bool = False) -> Result:
    """`use` it, following links as the container sees them. Raises LeadsElsewhereError for the machine's own, OSError."""
    for _ in range(LINKS_MAX):
        try:
            return use(found)
        except LeadsElsewhereError as elsewhere:
            below = guest.find(elsewhere.path, changes=changes)
            if below is None:
                raise
            found = below
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def printable(path: bytes) -> str:
    """For people: a container may name a path whatever it likes."""
    return ascii(path.decode("utf-8", "replace"))[1:-1][:200]


def start_of(caller: Caller, directory: int) -> bytes:
    """The real directory that a relative path begins at."""
    link = f"/proc/{caller.thread}/cwd" if directory == AT_FDCWD else f"/proc/{caller.thread}/fd/{directory}"
    try:
        return os.fsencode(os.readlink(link))
    except OSError as error:
        raise Refusal(errno.EBADF) from error


def signed(value: int) -> int:
    """An int, of an argument: a descriptor's number, or flags."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value
