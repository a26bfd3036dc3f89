"""seccomp's user notifications: the filter, its installation, and the four ioctls of who answers (seccomp_unotify(2)).

The filter lets everything through at once but what names an address or a path, or needs no more than owning a file
(owner_calls.py). Numbers are x86_64's, from asm/unistd_64.h.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
from functools import cache

from wherry.launcher import syscalls
from wherry.launcher.proc import static_rules
from wherry.launcher.syscalls import SyscallError

MACHINE = "x86_64"
"""The one architecture whose system calls are known here."""
ARCHITECTURE = 0xC000003E
"""AUDIT_ARCH_X86_64, as notifications name it."""
_X32_BIT = 0x40000000
IO_URING_SETUP, _USERFAULTFD = 425, 323

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
_EMPTY_PATH = 0x1000  # AT_EMPTY_PATH: fstat by another name, which needs no path and must stay fast
_FLAGS_ARGUMENT = {"newfstatat": 3, "statx": 2}

_LD_W_ABS, _JEQ_K, _JGE_K, _JSET_K, _AND_K, _RET_K = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_SOCK_TYPE_MASK = 0xF
_STREAMS = (0, 6)  # IPPROTO_IP, IPPROTO_TCP
AF_SMC = 43  # TCP by another name
_ALLOW, _NOTIFY, _ENOSYS = 0x7FFF0000, 0x7FC00000, 0x00050000 | errno.ENOSYS
_EPERM, _EOPNOTSUPP = 0x00050000 | errno.EPERM, 0x00050000 | errno.EOPNOTSUPP
_MSG_FASTOPEN = 0x20000000
_SET_MODE_FILTER, _NEW_LISTENER, _WAIT_KILLABLE = 1, 1 << 3, 1 << 5

RECEIVE, SEND, ID_VALID, ADD_FD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
_SET_FLAGS, _SYNC_WAKE_UP = 0x40082104, 1
CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
ADD_FD_AT, ADD_FD_SEND = 1, 2  # SECCOMP_ADDFD_FLAG_SETFD; _SEND: the new descriptor's number is the answer

NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # id, thread, flags, number, architecture, instruction, arguments
ANSWER = struct.Struct("=QqiI")  # id, value, -errno, flags
NEW_FD = struct.Struct("=QIIII")  # id, flags, ours, theirs, its flags


@cache
def program(*, streams: bool = False) -> bytes:
    """The filter as an array of struct sock_filter. x32's calls do not exist, see refused_calls.py for others."""
    # `streams`: they are made by who answers too, see held.py.
    plain = sorted(n for name, n in {**NETWORK, **FILES}.items() if name != "sendto" and name not in _FLAGS_ARGUMENT)
    head = [
        (_LD_W_ABS, 0, 0, 4),
        (_JEQ_K, 1, 0, ARCHITECTURE),
        (_RET_K, 0, 0, _NOTIFY),
        (_LD_W_ABS, 0, 0, 0),
        (_JGE_K, 0, 1, _X32_BIT),
        (_RET_K, 0, 0, _ENOSYS),
        (_JEQ_K, 0, 1, IO_URING_SETUP),
        (_RET_K, 0, 0, _NOTIFY),
        # a page that is filled by its owner would stop who reads it for ever
        (_JEQ_K, 0, 1, _USERFAULTFD),
        (_RET_K, 0, 0, _EPERM),
        *static_rules.steps(),
        # sendto: only with an address
        (_JEQ_K, 0, 6, NETWORK["sendto"]),
        (_LD_W_ABS, 0, 0, _argument(4)),
        (_JEQ_K, 0, 2, 0),
        (_LD_W_ABS, 0, 0, _argument(4) + 4),
        (_JEQ_K, 1, 0, 0),
        (_RET_K, 0, 0, _NOTIFY),
        (_RET_K, 0, 0, _ALLOW),
    ]
    for name, argument in _FLAGS_ARGUMENT.items():
        head += [
            (_JEQ_K, 0, 4, FILES[name]),
            (_LD_W_ABS, 0, 0, _argument(argument)),
            (_JSET_K, 1, 0, _EMPTY_PATH),
            (_RET_K, 0, 0, _NOTIFY),
            (_RET_K, 0, 0, _ALLOW),
        ]
    head += _for_datagrams(streams=streams)
    tail = [(_JEQ_K, len(plain) - at, 0, number) for at, number in enumerate(plain)]
    code = [*head, *tail, (_RET_K, 0, 0, _ALLOW), (_RET_K, 0, 0, _NOTIFY)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def asks(code: bytes, number: int, arguments: list[int]) -> bool:
    """Whether a filter of `program` lets somebody else answer this call. Pure."""
    data = struct.pack("=IIQ6Q", number, ARCHITECTURE, 0, *arguments)
    accumulator = at = 0
    while True:
        operation, yes, no, k = struct.unpack_from("=HBBI", code, 8 * at)
        at += 1
        if operation == _RET_K:
            return bool(k == _NOTIFY)
        if operation == _LD_W_ABS:
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif operation == _AND_K:
            accumulator &= k
        else:
            holds = accumulator == k, accumulator >= k, bool(accumulator & k)
            at += yes if holds[(_JEQ_K, _JGE_K, _JSET_K).index(operation)] else no


def _for_datagrams(*, streams: bool) -> list[tuple[int, int, int, int]]:
    """Sockets that are no streams are made by who answers, at a number of the `WINDOW`; there, messages are looked at."""
    within = [
        (_LD_W_ABS, 0, 0, _argument(0)),
        (_JGE_K, 2, 0, WINDOW[1]),
        (_JGE_K, 0, 1, WINDOW[0]),
        (_RET_K, 0, 0, _NOTIFY),
        (_RET_K, 0, 0, _ALLOW),
    ]
    found = [
        (_JEQ_K, 0, 0, DATAGRAMS["socket"]),
        (_LD_W_ABS, 0, 0, _argument(0)),
        (_JEQ_K, 4, 0, socket.AF_INET),
        (_JEQ_K, 3, 0, socket.AF_INET6),
        (_JEQ_K, 0, 1, AF_SMC),
        (_RET_K, 0, 0, _NOTIFY),
        (_RET_K, 0, 0, _ALLOW),
        (_LD_W_ABS, 0, 0, _argument(1)),
        (_AND_K, 0, 0, _SOCK_TYPE_MASK),
        (_JEQ_K, 1, 0, socket.SOCK_STREAM),
        (_RET_K, 0, 0, _NOTIFY),
        (_LD_W_ABS, 0, 0, _argument(2)),
        *((_JEQ_K, len(_STREAMS) - at, 0, protocol) for at, protocol in enumerate(_STREAMS)),
        (_RET_K, 0, 0, _NOTIFY),
        (_RET_K, 0, 0, _NOTIFY if streams else _ALLOW),
    ]
    found[0] = (_JEQ_K, 0, len(found) - 1, DATAGRAMS["socket"])
    for name, argument in (("sendmsg", 2), ("sendmmsg", 3)):
        found += [
            (_JEQ_K, 0, 3 + len(within), DATAGRAMS[name]),
            (_LD_W_ABS, 0, 0, _argument(argument)),
            (_JSET_K, 0, 1, _MSG_FASTOPEN),
            (_RET_K, 0, 0, _EOPNOTSUPP),
            *within,
        ]
    for name in ("recvmsg", "recvmmsg"):
        found += [(_JEQ_K, 0, len(within), DATAGRAMS[name]), *within]
    found += [
        (_JEQ_K, 0, 5 + len(within), DATAGRAMS["recvfrom"]),
        (_LD_W_ABS, 0, 0, _argument(4)),
        (_JEQ_K, 0, 3, 0),
        (_LD_W_ABS, 0, 0, _argument(4) + 4),
        (_JEQ_K, 0, 1, 0),
        (_RET_K, 0, 0, _ALLOW),
        *within,
    ]
    return found


def _argument(number: int) -> int:
    """Offset of the lower half of an argument in struct seccomp_data."""
    return 16 + 8 * number


def install(*, streams: bool = False) -> int:
    """Filter this process and what it becomes; the descriptor to answer at. Raises SyscallError.

    Sets no_new_privs, without which an ordinary user may not filter: set-uid programs then run as their caller.
    """
    if os.uname().machine != MACHINE:
        raise SyscallError(errno.ENOSYS, "seccomp", f"system calls of {os.uname().machine} are not known")
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    code = program(streams=streams)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer)))
    try:
        return syscalls.raw("seccomp", _SET_MODE_FILTER, _NEW_LISTENER | _WAIT_KILLABLE, header, target="new listener")
    except SyscallError as error:
        if error.errno != errno.EINVAL:
            raise
    return syscalls.raw("seccomp", _SET_MODE_FILTER, _NEW_LISTENER, header, target="new listener")  # Linux before 5.19


def answer_here(listener: int) -> None:
    """Caller and who answers wait for each other, so both are best on one core: waking another one costs more than the answer
    (SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6; without it the scheduler decides)."""
    try:
        fcntl.ioctl(listener, _SET_FLAGS, _SYNC_WAKE_UP)
    except OSError:
        return
