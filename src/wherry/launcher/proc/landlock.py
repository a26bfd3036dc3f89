"""Landlock: what a pod may read and write, and whom it may signal or look into. Skipped where the kernel lacks it.

A pod's init enters a domain of its own: its processes then cannot signal (Linux 6.12), trace or read the memory of any other.
A container is limited further to writing what it was given, and to reading what is hidden from nobody (hidden.py). Where the shim
performs connect(2) and bind(2) on duplicates of TCP sockets, nobody else may: then no race against a call that the shim lets
through opens a connection that was not looked at.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Callable, Iterable

from wherry.launcher import syscalls
from wherry.launcher.proc.reach import without_links
from wherry.launcher.syscalls import SyscallError

_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1
_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _REFER = 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 13
_REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))
_NET_PORT = 2
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPES = 1 << 0 | 1 << 1  # abstract Unix sockets, signals
_REFER_SINCE, _TRUNCATE_SINCE, _TCP_SINCE, SCOPES_SINCE = 2, 3, 4, 6
NO_PORT = 0
"""The one TCP port that may be connected to when no other may: a connection that was begun is waited for in its name."""
# What every program expects to write to.
DEVICES = (
    b"/dev/null", b"/dev/zero", b"/dev/full", b"/dev/random", b"/dev/urandom", b"/dev/tty", b"/dev/ptmx", b"/dev/pts",
)  # fmt: skip


def version() -> int:
    """The ABI; 0 without Landlock."""
    try:
        return syscalls.raw("landlock_create_ruleset", None, 0, _VERSION)
    except SyscallError:
        return 0


def keep_apart() -> bool:
    """Enter a domain: signals and abstract sockets end at its border. False where the kernel cannot.

    Files can be moved from one directory to another as before; every domain that does not say so forbids it.
    Sets no_new_privs. Raises SyscallError."""
    if version() < SCOPES_SINCE:
        return False
    ruleset = _create(struct.pack("=QQQ", _REFER, 0, _SCOPES))
    _allow(ruleset, b"/", _REFER, _follow)
    _enter(ruleset)
    return True


def forbids_tcp() -> bool:
    """Whether the kernel can keep a container from TCP's connect and bind."""
    return version() >= _TCP_SINCE


class Limits:
    """What can be written and read by who enters them: devices, and what was added. Directories can be listed, whose they may
    be. Without `tcp` TCP sockets can be neither bound nor connected, where the kernel can forbid that.

    Unless everything `lists`, directories can be listed only where files can be read.

    Without Landlock nothing is limited. Each method raises SyscallError."""

    def __init__(self, *, tcp: bool, lists: bool = True) -> None:
        self.tcp = tcp
        abi = version()
        self._read = _READ_FILE if lists else _READ_FILE | _READ_DIR
        self._write = self._read | _WRITE_FILE | _REMOVE_AND_MAKE
        self._write |= _REFER if abi >= _REFER_SINCE else 0
        self._write |= _TRUNCATE if abi >= _TRUNCATE_SINCE else 0
        fenced = not tcp and abi >= _TCP_SINCE
        network = struct.pack("=Q", _BIND_TCP | _CONNECT_TCP) if fenced else b""
        self._ruleset = _create(struct.pack("=Q", self._write) + network) if abi else -1
        if fenced:
            rule = ctypes.create_string_buffer(struct.pack("=QQ", _CONNECT_TCP, NO_PORT), 16)
            syscalls.raw("landlock_add_rule", self._ruleset, _NET_PORT, rule, 0)
        self._readable: set[bytes] = set()
        for path in DEVICES:
            self._allow(path, self._write, open_name=_follow)
        self.read([b"/proc"])  # what a program writes there about itself the shim opens (own_process.py)

    def write(self, paths: Iterable[bytes]) -> None:
        """These, and what lies in them, can be written and read. Not through a link: a container may have put one there since."""
        for path in paths:
            self._allow(path, self._write)

    def read(self, paths: Iterable[bytes]) -> None:
        """These can be read, if nobody said so before; neither through a link."""
        for path in paths:
            if path not in self._readable:
                self._readable.add(path)
                self._allow(path, self._read)

    def _allow(self, path: bytes, access: int, open_name: Callable[[bytes], int] = without_links) -> None:
        if self._ruleset >= 0:
            _allow(self._ruleset, path, access, open_name)

    def list(self, path: bytes) -> None:
        """What lies in it can be listed, for who may not list everything."""
        if self._read & _READ_DIR:
            self._allow(path, _READ_DIR)

    def enter(self) -> None:
        """From now on, for this process and what it becomes."""
        if self._ruleset >= 0:
            _enter(self._ruleset)


def _create(attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return syscalls.raw("landlock_create_ruleset", buffer, len(attributes), 0)


def _follow(path: bytes) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def _allow(ruleset: int, path: bytes, handled: int, open_name: Callable[[bytes], int]) -> None:
    try:
        fd = open_name(path)
    except OSError:  # a machine without it
        return
    try:
        access = handled if stat.S_ISDIR(os.fstat(fd).st_mode) else handled & (_WRITE_FILE | _READ_FILE | _TRUNCATE)
        rule = ctypes.create_string_buffer(struct.pack("=Qi", access, fd), 12)
        syscalls.raw("landlock_add_rule", ruleset, _PATH_BENEATH, rule, 0, target=os.fsdecode(path))
    finally:
        os.close(fd)


def _enter(ruleset: int) -> None:
    try:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        syscalls.raw("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
