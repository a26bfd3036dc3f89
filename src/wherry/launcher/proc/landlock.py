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
from collections.abc import Iterable

from wherry.launcher import syscalls
from wherry.launcher.syscalls import SyscallError

_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1
_WRITE_FILE, _READ_FILE, _TRUNCATE, _REFER = 1 << 1, 1 << 2, 1 << 14, 1 << 13
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
    b"/dev/shm", b"/proc",
)  # fmt: skip


def version() -> int:
    """The ABI; 0 without Landlock."""
    try:
        return syscalls.raw("landlock_create_ruleset", None, 0, _VERSION)
    except SyscallError:
        return 0


def keep_apart() -> bool:
    """Enter a domain: signals and abstract sockets end at its border. False where the kernel cannot.

    Sets no_new_privs. Raises SyscallError."""
    if version() < SCOPES_SINCE:
        return False
    ruleset = _create(struct.pack("=QQQ", 0, 0, _SCOPES))
    _enter(ruleset)
    return True


def forbids_tcp() -> bool:
    """Whether the kernel can keep a container from TCP's connect and bind."""
    return version() >= _TCP_SINCE


def limit(writable: Iterable[bytes], readable: Iterable[bytes], *, tcp: bool) -> bool:
    """From now on only `writable` files and directories (and devices) can be written, those and `readable` ones be read; without
    `tcp` TCP sockets can be neither bound nor connected, where the kernel can forbid that.

    Directories can be listed, whose they may be. False without Landlock. Raises SyscallError."""
    abi = version()
    if not abi:
        return False
    written = _WRITE_FILE | _REMOVE_AND_MAKE
    written |= _REFER if abi >= _REFER_SINCE else 0
    written |= _TRUNCATE if abi >= _TRUNCATE_SINCE else 0
    fenced = not tcp and abi >= _TCP_SINCE
    network = struct.pack("=Q", _BIND_TCP | _CONNECT_TCP) if fenced else b""
    ruleset = _create(struct.pack("=Q", written | _READ_FILE) + network)
    if fenced:
        rule = ctypes.create_string_buffer(struct.pack("=QQ", _CONNECT_TCP, NO_PORT), 16)
        syscalls.raw("landlock_add_rule", ruleset, _NET_PORT, rule, 0)
    for path in (*DEVICES, *writable):
        _allow(ruleset, path, written | _READ_FILE)
    for path in readable:
        _allow(ruleset, path, _READ_FILE)
    _enter(ruleset)
    return True


def _create(attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return syscalls.raw("landlock_create_ruleset", buffer, len(attributes), 0)


def _allow(ruleset: int, path: bytes, handled: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
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
