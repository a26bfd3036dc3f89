"""The system calls that Python's standard library lacks on 3.11, each raising `SyscallError` that names call and target.

Nothing here decides anything; numbers are from the kernel's own headers (include/uapi). Every call takes and returns
plain integers and strings, descriptors are always close-on-exec.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal

_libc = ctypes.CDLL(None, use_errno=True)
# Declared once: ctypes then converts in C, which matters to forks that call prctl thirty times before they exec.
_libc.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]

# linux/sched.h
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

_PTRACE_DETACH = 17  # linux/ptrace.h

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_SECCOMP = 22
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

# From 424 on the numbers are the same on every architecture; older ones are not.
_OLD_NUMBERS = {
    "x86_64": {"pivot_root": 155, "capget": 125, "capset": 126, "tgkill": 234, "seccomp": 317},
    "aarch64": {"pivot_root": 41, "capget": 90, "capset": 91, "tgkill": 131, "seccomp": 277},
}
_NEW_NUMBERS = {
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "close_range": 436,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}


class SyscallError(OSError):
    """The kernel refused. Says which call, on what, and the errno by name and text."""

    def __init__(self, number: int, syscall: str, target: str = "") -> None:
        super().__init__(number, os.strerror(number))
        self.syscall = syscall
        self.target = target

    def __str__(self) -> str:
        name = errno.errorcode.get(self.errno or 0, str(self.errno))
        return f"{self.syscall}({self.target}): {self.strerror} ({name})"


def _check(result: int, syscall: str, target: str = "") -> int:
    if result < 0:
        raise SyscallError(ctypes.get_errno(), syscall, target)
    return result


def _number(name: str) -> int:
    if name in _NEW_NUMBERS:
        return _NEW_NUMBERS[name]
    table = _OLD_NUMBERS.get(os.uname().machine)
    if table is None:
        raise SyscallError(errno.ENOSYS, name, f"on {os.uname().machine}")
    return table[name]


def raw(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None, target: str = "") -> int:
    """A system call that libc may not wrap. Every number is passed as a C long."""
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _check(int(_libc.syscall(ctypes.c_long(_number(name)), *converted)), name, target)


def namespace_names(flags: int) -> str:
    """`CLONE_NEWNS|CLONE_NEWPID` for an error message."""
    known = {n: v for n, v in globals().items() if n.startswith("CLONE_NEW")}
    return "|".join(name for name, value in known.items() if flags & value) or "0"


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(flags), "unshare", namespace_names(flags))


def setns(fd: int, flags: int) -> None:
    """setns(2) with a namespace descriptor or a pidfd."""
    _check(_libc.setns(fd, flags), "setns", namespace_names(flags))


def prctl(option: int, argument: int = 0, second: int = 0) -> int:
    """prctl(2); missing arguments are 0, as newer options insist."""
    result = int(_libc.prctl(option, argument, second, 0, 0))
    return result if result >= 0 else _check(result, "prctl", str(option))


def let_go(pid: int, number: int) -> None:
    """PTRACE_DETACH of a stopped child that had made us its tracer; it gets the signal it was stopped by. Gone: no error."""
    _libc.ptrace(_PTRACE_DETACH, ctypes.c_long(pid), None, ctypes.c_long(0 if number == signal.SIGTRAP else number))


def sethostname(name: str) -> None:
    """sethostname(2)."""
    encoded = name.encode()
    _check(_libc.sethostname(encoded, len(encoded)), "sethostname", name)


def set_process_name(name: str) -> None:
    """What ps and /proc/PID/comm show; 15 bytes at most."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    prctl(PR_SET_NAME, ctypes.addressof(buffer))


def close_all_but(keep: set[int]) -> None:
    """Close every descriptor of this process except `keep`. Never fails."""
    low = 0
    for fd in [*sorted(keep), 0x7FFFFFFF]:
        if fd > low:
            _close_range(low, fd - 1)
        low = fd + 1


def _close_range(first: int, last: int) -> None:
    try:
        raw("close_range", first, last, 0)
    except SyscallError:  # Linux < 5.9
        os.closerange(first, min(last, os.sysconf("SC_OPEN_MAX")) + 1)
