"""Rules of seccomp_filter.py for calls that name nothing but numbers, by which a pod would reach what is not its own.

What no pod has a right to is answered by the filter itself:

    keyrings             belong to the user who started Wherry, and may hold that user's tickets and keys
    marks of a file      any descriptor is enough to set them, and Landlock does not look at them; Btrfs makes subvolumes and
                         snapshots by a directory's descriptor, which leads around Landlock
    leases               one on a file that pods share makes whoever opens it wait for 45 s
    families of sockets  of which the kernel sends to addresses of IP, or of the machine, that nobody looked at

A call that sets limits or priorities of other processes is asked about (process_calls.py); what it does to its own is not.
Pure.
"""

from __future__ import annotations

import errno

from wherry.launcher.proc.bpf import ALLOW, AND, EQUAL, ERRNO, NOTIFY, Step, end, load, match

PROCESSES = {"setpriority": 141, "sched_setparam": 142, "sched_setscheduler": 144, "sched_setaffinity": 203,
             "ioprio_set": 251, "prlimit64": 302, "sched_setattr": 314}  # fmt: skip
WHOLE_USER = {"setpriority": 2, "ioprio_set": 3}
"""PRIO_USER, IOPRIO_WHO_USER: what these set by their first argument, for the second one."""
_KEYRINGS = (248, 249, 250)  # add_key, request_key, keyctl
_KILL, _ALL = 62, 0xFFFFFFFF  # all processes: -1
_IOCTL, _FCNTL = 16, 72
_FAMILIES = (21, 30, 33)  # AF_RDS, AF_TIPC, AF_RXRPC
_LEASES = (1024, 1040)  # F_SETLEASE, F_SETDELEG
_MARKS = (
    0x40086602, 0x40046602, 0x40087602, 0x40047602, 0x401C5820,  # FS_IOC_SETFLAGS, _SETVERSION, and for 32 bits; _FSSETXATTR
    0x40086604, 0x6609, 0x40806685, 0x800C6613,  # EXT4_IOC_SETVERSION, _MIGRATE; FS_IOC_ENABLE_VERITY, _SET_ENCRYPTION_POLICY
)  # fmt: skip
_KIND_OF_IOCTL, _BTRFS, _BCACHEFS = 0xFF00, 0x9400, 0xBC00
_CLONES = (0x40049409, 0x4020940D, 0xC0189436, 0x81009431)  # FICLONE, FICLONERANGE, FIDEDUPERANGE, FS_IOC_GETFSLABEL


def rules() -> dict[int, list[Step]]:
    """By the call's number; each ends it."""
    found = {number: [end(ERRNO | errno.ENOSYS)] for number in _KEYRINGS}
    found[_IOCTL] = _ioctl()
    found[_FCNTL] = [load(1), *match(_LEASES, ERRNO | errno.EINVAL), end(ALLOW)]
    for name, number in PROCESSES.items():
        found[number] = _limits() if name == "prlimit64" else _priority(WHOLE_USER.get(name))
    return found


def to_all() -> dict[int, list[Step]]:
    """What programs that are alone in a container say to end all others would end Wherry, and all else of the user."""
    return {_KILL: [load(0), *match((_ALL,), ERRNO | errno.EPERM), end(ALLOW)]}


def families() -> list[Step]:
    """The beginning of what is done about socket(2): its first argument is loaded afterwards."""
    return [load(0), *match(_FAMILIES, ERRNO | errno.EAFNOSUPPORT)]


def _ioctl() -> list[Step]:
    no = ERRNO | errno.ENOTTY  # as where a file system has no such thing
    of_kind = [(AND, 0, 0, _KIND_OF_IOCTL), *match((_BTRFS, _BCACHEFS), no), end(ALLOW)]
    return [load(1), *match(_MARKS, no), *match(_CLONES, ALLOW), *of_kind]


def _limits() -> list[Step]:
    """To look at them is everybody's, and so is to set one's own."""
    return [
        *(load(0), (EQUAL, 4, 0, 0)),
        *(load(2), (EQUAL, 0, 3, 0)),
        *(load(2, upper=True), (EQUAL, 0, 1, 0)),
        end(ALLOW),
        end(NOTIFY),
    ]


def _priority(whole_user: int | None) -> list[Step]:
    kind: list[Step] = [] if whole_user is None else [load(0), (EQUAL, 2, 0, whole_user)]
    return [*kind, load(0 if whole_user is None else 1), (EQUAL, 1, 0, 0), end(NOTIFY), end(ALLOW)]
