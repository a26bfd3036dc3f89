"""seccomp's user notifications: installing a filter (seccomp_filter.py), and the four ioctls of who answers (seccomp_unotify(2)).

Numbers are x86_64's, from asm/unistd_64.h.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from functools import lru_cache

from wherry.launcher import syscalls
from wherry.launcher.syscalls import SyscallError

MACHINE = "x86_64"
"""The one architecture whose system calls are known here."""
ARCHITECTURE = 0xC000003E
"""AUDIT_ARCH_X86_64, as notifications name it."""
IO_URING_SETUP, USERFAULTFD = 425, 323

NETWORK = {"connect": 42, "sendto": 44, "bind": 49, "listen": 50, "getsockname": 51, "getpeername": 52,
           "uname": 63}  # fmt: skip
DATAGRAMS = {"socket": 41, "recvfrom": 45, "sendmsg": 46, "recvmsg": 47, "recvmmsg": 299, "sendmmsg": 307}
WINDOW = (896, 1024)
"""From and below: the numbers that sockets for datagrams get. The filter cannot tell what a descriptor is, nor look into what
sendmsg(2) points to; so streams, which lie elsewhere, are never asked about. Below 1024, because select(2) ends there."""
FILES = {
    "open": 2, "stat": 4, "lstat": 6, "access": 21, "execve": 59, "truncate": 76, "getcwd": 79, "chdir": 80,
    "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88, "readlink": 89,
    "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "utime": 132, "mknod": 133, "statfs": 137,
    "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "getxattr": 191, "lgetxattr": 192, "listxattr": 194,
    "llistxattr": 195, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "utimes": 235,
    "inotify_add_watch": 254, "openat": 257, "mkdirat": 258, "mknodat": 259, "fchownat": 260, "futimesat": 261,
    "newfstatat": 262, "unlinkat": 263, "renameat": 264, "linkat": 265, "symlinkat": 266, "readlinkat": 267,
    "fchmodat": 268, "faccessat": 269, "utimensat": 280, "renameat2": 316, "execveat": 322, "statx": 332, "openat2": 437,
    "faccessat2": 439, "fchmodat2": 452, "setxattrat": 463, "removexattrat": 466, "file_setattr": 469,
}  # fmt: skip

AF_SMC = 43  # TCP by another name
_SET_MODE_FILTER, _NEW_LISTENER, _WAIT_KILLABLE = 1, 1 << 3, 1 << 5

RECEIVE, SEND, ID_VALID, ADD_FD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
_SET_FLAGS, _SYNC_WAKE_UP = 0x40082104, 1
CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
ADD_FD_AT, ADD_FD_SEND = 1, 2  # SECCOMP_ADDFD_FLAG_SETFD; _SEND: the new descriptor's number is the answer

NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # id, thread, flags, number, architecture, instruction, arguments
ANSWER = struct.Struct("=QqiI")  # id, value, -errno, flags
NEW_FD = struct.Struct("=QIIII")  # id, flags, ours, theirs, its flags


def install(code: bytes) -> int:
    """Filter this process and what it becomes by what seccomp_filter.py made; the descriptor to answer at. Raises SyscallError.

    Sets no_new_privs, without which an ordinary user may not filter: set-uid programs then run as their caller.
    """
    if os.uname().machine != MACHINE:
        raise SyscallError(errno.ENOSYS, "seccomp", f"system calls of {os.uname().machine} are not known")
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer)))
    try:
        return syscalls.raw("seccomp", _SET_MODE_FILTER, _NEW_LISTENER | _WAIT_KILLABLE, header, target="new listener")
    except SyscallError as error:
        if error.errno != errno.EINVAL:
            raise
    return syscalls.raw("seccomp", _SET_MODE_FILTER, _NEW_LISTENER, header, target="new listener")  # Linux before 5.19


@lru_cache(maxsize=1)
def waits_killable() -> bool:
    """Whether no signal but a deadly one interrupts a call that has been taken (Linux 5.19), asked as seccomp(2) says: with flags
    that are known, no filter is EFAULT."""
    try:
        syscalls.raw("seccomp", _SET_MODE_FILTER, _NEW_LISTENER | _WAIT_KILLABLE, None, target="no filter")
    except SyscallError as error:
        return error.errno == errno.EFAULT
    return False


def answer_here(listener: int) -> None:
    """Caller and who answers wait for each other, so both are best on one core: waking another one costs more than the answer
    (SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6; without it the scheduler decides)."""
    try:
        fcntl.ioctl(listener, _SET_FLAGS, _SYNC_WAKE_UP)
    except OSError:
        return
