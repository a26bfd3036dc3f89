"""Mounting, with errors that name what was mounted where. Detached trees (open_tree) carry flags before they appear anywhere."""

from __future__ import annotations

import ctypes
import os
import struct

from wherry.launcher.syscalls import SyscallError, _libc, raw

# linux/mount.h
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MNT_DETACH = 2
ATTR_RDONLY = 0x1
ATTR_NOSUID = 0x2
ATTR_NODEV = 0x4
ATTR_NOEXEC = 0x8

_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_AT_FDCWD = -100
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MOVE_MOUNT_T_SYMLINKS = 0x10


def mount(source: str, target: str, fstype: str, flags: int = 0, data: str = "") -> None:
    """mount(2) of a new file system."""
    result = _libc.mount(
        source.encode(), os.fsencode(target), fstype.encode(), ctypes.c_ulong(flags), data.encode() or None
    )
    if result < 0:
        raise SyscallError(ctypes.get_errno(), "mount", f"{fstype} on {target}" + (f" with {data}" if data else ""))


def make_slave(path: str) -> None:
    """Changes of the outer mounts come in, ours do not go out."""
    if _libc.mount(None, os.fsencode(path), None, ctypes.c_ulong(MS_REC | MS_SLAVE), None) < 0:
        raise SyscallError(ctypes.get_errno(), "mount", f"rslave on {path}")


def unmount(path: str) -> None:
    """Detach; what still uses it keeps it."""
    if _libc.umount2(os.fsencode(path), MNT_DETACH) < 0:
        raise SyscallError(ctypes.get_errno(), "umount2", path)


def new_filesystem(fstype: str, attributes: int = 0, **options: str) -> int:
    """A new file system, mounted nowhere yet (fsopen, fsconfig, fsmount). A descriptor of its root."""
    what = f"{fstype} with {options}" if options else fstype
    context = raw("fsopen", fstype.encode() + b"\0", _FSOPEN_CLOEXEC, target=what)
    try:
        for name, value in options.items():
            raw(
                "fsconfig", context, _FSCONFIG_SET_STRING, name.encode() + b"\0", value.encode() + b"\0", 0, target=what
            )
        raw("fsconfig", context, _FSCONFIG_CMD_CREATE, None, None, 0, target=what)
        return raw("fsmount", context, _FSMOUNT_CLOEXEC, attributes, target=what)
    finally:
        os.close(context)


def open_tree(path: str, *, recursive: bool = True) -> int:
    """A detached copy of the mounts at `path` (a bind mount that is nowhere yet)."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    return raw("open_tree", _AT_FDCWD, os.fsencode(path), flags, target=path)


def set_attributes(tree: int, attributes: int, *, recursive: bool = True, what: str = "") -> None:
    """Add mount attributes (read-only, nodev, ...) to a detached tree; those that are set already stay."""
    value = struct.pack("=QQQQ", attributes, 0, 0, 0)
    buffer = ctypes.create_string_buffer(value, len(value))
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    raw("mount_setattr", tree, b"", flags, buffer, len(value), target=what)


def make_private_tree(tree: int, what: str = "") -> None:
    """Later mounts on the machine below a detached tree's source do not appear in it."""
    value = struct.pack("=QQQQ", 0, 0, MS_PRIVATE, 0)
    buffer = ctypes.create_string_buffer(value, len(value))
    raw("mount_setattr", tree, b"", _AT_EMPTY_PATH | _AT_RECURSIVE, buffer, len(value), target=what)


def set_attributes_at(path: str, attributes: int) -> None:
    """Add attributes to the one mount at `path`."""
    value = struct.pack("=QQQQ", attributes, 0, 0, 0)
    buffer = ctypes.create_string_buffer(value, len(value))
    raw("mount_setattr", _AT_FDCWD, os.fsencode(path), 0, buffer, len(value), target=path)


def attach(tree: int, target: str) -> None:
    """Put a detached tree at `target`, following symbolic links of the current root."""
    raw(
        "move_mount",
        tree,
        b"",
        _AT_FDCWD,
        os.fsencode(target),
        _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_SYMLINKS,
        target=target,
    )


def pivot_root_here() -> None:
    """Make the current directory, which is a mount, the root, and let go of the old one."""
    raw("pivot_root", b".", b".", target=os.getcwd())
    unmount(".")
    os.chdir("/")
