"""bind and connect with an address that is neither IPv4 nor IPv6: Unix sockets at promised paths, and everything odd.

A path leads where it leads for open(2). Wherry's own sockets lie in its state directory, those of the machine's services and of
the user's session in /run, and in none of them a container has business: who gets at the launcher's, or at a session's bus, may
do anything. What connects is performed on a duplicate, with what was looked at. Where duplicates may not be taken the kernel
performs it with what is in memory then; a program that meanwhile puts another socket at the descriptor's number and another
address into memory is not stopped by this.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct

from wherry.launcher.proc.abstract_names import AbstractNames
from wherry.launcher.proc.addresses import SOCKADDR_4_BYTES
from wherry.launcher.proc.alarm import ALARM
from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.file_shapes import Umask
from wherry.launcher.proc.finding import follow, resolve_name, start_of
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.hidden import is_hidden
from wherry.launcher.proc.outcomes import Refusal, checked
from wherry.launcher.proc.reach import AT_FDCWD, Found, by_number, real_path
from wherry.launcher.proc.unix_names import ADDRESS_BYTES_MAX, UnixNames

_libc = ctypes.CDLL(None, use_errno=True)
_INTERNET = (socket.AF_INET, socket.AF_INET6)
_LENT = 895
"""A number in the caller for the directory of a Unix socket, replaced by the next one; below it notify.WINDOW begins."""

TOO_SHORT = b"\xff\xff"
"""An address that is none, of a family that is none: to the kernel it means something only for a socket whose connection began.
How long it is a register says. So this call can be let through: whatever else a program puts in the place of the socket and of
the address meanwhile, it opens no connection."""
_UNIX = struct.pack("=H", socket.AF_UNIX)


class UnixCalls:
    """Raise OSError, Refusal, GoneError and LeadsElsewhereError, and answer unless they raise."""

    def __init__(self, state: bytes, *, exact: bool) -> None:
        self._state = state
        self._exact = exact
        self._names = UnixNames()
        self._abstract = AbstractNames()

    def connect(self, caller: Caller, guest: Guest, raw: bytes) -> None:
        """`raw` is the address, as it was read."""
        if len(raw) <= len(TOO_SHORT):
            caller.proceed()
            return
        path = _path(raw)
        if self._exact:
            with caller.socket() as sock:
                if sock.family != socket.AF_UNIX or not path:
                    if sock.family == socket.AF_UNIX and raw[:2] == _UNIX and not self._abstract.is_own(guest, raw[2:]):
                        raise Refusal(errno.ECONNREFUSED)
                    begin(caller, sock, raw)
                    return
        found = resolve_name(caller, guest, path, changes=False) if path else None
        if found is None:
            self._connect_to_the_machines(caller, guest, path)
            return

        def use(at: Found) -> None:
            if self._exact:
                with at.path(follow=True) as there, caller.socket() as sock:
                    begin(caller, sock, unix_address(by_number(there)))
            else:
                with at.parent() as (folder, name):
                    _lend(caller, folder, by_number(_LENT) + b"/" + name)

        follow(guest, found, use)

    def bind(self, caller: Caller, guest: Guest, raw: bytes) -> None:
        if self._exact:
            with caller.socket() as sock:
                if sock.family in _INTERNET:  # AF_UNSPEC with no address would be every address of the machine
                    raise Refusal(errno.EAFNOSUPPORT if len(raw) >= SOCKADDR_4_BYTES else errno.EINVAL)
                if sock.family == socket.AF_UNIX and not _path(raw):
                    checked(_libc.bind(sock.fileno(), raw, len(raw)))
                    self._abstract.bound(guest, sock)
                    caller.succeed()
                    return
        path = _path(raw)
        found = resolve_name(caller, guest, path, changes=True) if path else None
        if found is None:
            caller.proceed()  # where it may make one, the kernel knows (landlock.py)
            return

        def use(at: Found) -> None:
            if at.readonly:
                raise Refusal(errno.EROFS)
            # The real path may be longer than an address of a Unix socket can be: it is named by its directory's descriptor.
            with at.parent() as (folder, name):
                address = self._names.path(by_number(folder if self._exact else _LENT), name)
                if self._exact:
                    named = unix_address(address)[:-1]  # without a NUL it may be as long as an address can be
                    # Of a socket of another family, the kernel says what it thinks of it.
                    with caller.socket() as sock, Umask(caller):
                        checked(_libc.bind(sock.fileno(), named, len(named)))
                    caller.succeed()
                else:
                    _lend(caller, folder, address)
                self._names.remember(guest.sandbox, address, _path(raw))

        follow(guest, found, use, changes=True)

    def has_names(self, guest: Guest) -> bool:
        """Whether any address of its pod is not what its program said."""
        return self._names.of(guest.sandbox)

    def name(self, guest: Guest, address: bytes) -> bytes | None:
        """An address that the kernel gave, as its program said it; None: it is that already."""
        said = self._names.said(guest.sandbox, _path(address))
        return None if said is None else unix_address(said)

    def _connect_to_the_machines(self, caller: Caller, guest: Guest, path: bytes) -> None:
        """To what nobody promised: not where no pod may read either (hidden.py). Raises Refusal, OSError, GoneError."""
        if not path:
            caller.proceed()
            return
        there = os.open(_as_the_caller(caller, path), os.O_PATH | os.O_CLOEXEC)
        try:
            real = real_path(there)
            if is_hidden(real, self._state) and guest.shown(real) is None:
                raise Refusal(errno.EACCES)
            if not self._exact:
                caller.proceed()
                return
            with caller.socket() as sock:  # the very socket that was looked at
                begin(caller, sock, unix_address(by_number(there)))
        finally:
            os.close(there)


def await_begun(caller: Caller) -> None:
    """Let the kernel wait in the caller for a connection that was begun. Raises Refusal when another process traces it: then the
    connection is being made."""
    if not caller.again(lambda at: ({1: at, 2: len(TOO_SHORT)}, TOO_SHORT)):
        raise Refusal(errno.EINTR)


def begin(caller: Caller, sock: socket.socket, address: bytes) -> None:
    """Connect the caller's socket without waiting, and answer: one of Unix is connected at once, or its server is too busy."""
    flags = fcntl.fcntl(sock, fcntl.F_GETFL)
    waits = not flags & os.O_NONBLOCK
    if waits:
        fcntl.fcntl(sock, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        ALARM.set()
        code = 0 if _libc.connect(sock.fileno(), address, len(address)) == 0 else ctypes.get_errno()
    finally:
        if waits:
            fcntl.fcntl(sock, fcntl.F_SETFL, flags)
    if code == 0:
        caller.succeed()
    elif waits and code == errno.EINPROGRESS:  # of other families
        await_begun(caller)
    else:
        caller.fail(code)


def unix_address(path: bytes) -> bytes:
    return struct.pack("=H", socket.AF_UNIX) + path + b"\0"


def _lend(caller: Caller, folder: int, path: bytes) -> None:
    """The caller makes its call again with an address below a descriptor that it is given for that."""
    address = unix_address(path)
    if len(address) > ADDRESS_BYTES_MAX:
        raise Refusal(errno.ENAMETOOLONG)
    # One of O_PATH cannot be given away.
    whole = os.open(by_number(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lent = caller.lend(whole, _LENT)
    finally:
        os.close(whole)
    if not lent or not caller.again(lambda at: ({1: at, 2: len(address)}, address)):
        raise Refusal(errno.EACCES)


def _path(raw: bytes) -> bytes:
    """Empty for an abstract or unnamed address, or another family's."""
    if len(raw) < 3 or raw[0] | raw[1] << 8 != socket.AF_UNIX or raw[2] == 0:
        return b""
    return raw[2:].split(b"\0", 1)[0]


def _as_the_caller(caller: Caller, path: bytes) -> bytes:
    """An absolute path that means to us what `path` means to the caller."""
    for own, theirs in ((b"/proc/self", b"/proc/%d"), (b"/proc/thread-self", b"/proc/%d")):
        if path == own or path.startswith(own + b"/"):
            return theirs % caller.thread + path[len(own) :]
    return path if path.startswith(b"/") else start_of(caller, AT_FDCWD) + b"/" + path
