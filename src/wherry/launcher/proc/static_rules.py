"""Parts of the filter (notify.py) for calls that name nothing but numbers, by which a pod would reach what is not its own.

What no pod has a right to is answered by the filter itself:

    keyrings             belong to the user who started Wherry, and may hold that user's tickets and keys
    marks of a file      any descriptor is enough to set them, and Landlock does not look at them; Btrfs makes subvolumes and
                         snapshots by a directory's descriptor, which leads around Landlock
    leases               one on a file that pods share makes whoever opens it wait for 45 s
    families of sockets  of which the kernel sends to addresses of IP, or of the machine, that nobody looked at

A call that sets limits or priorities of other processes is asked about (process_calls.py); what it does to its own is not.
Jumps and numbers are as in notify.py. Pure.
"""

from __future__ import annotations

import errno

PROCESSES = {"setpriority": 141, "sched_setparam": 142, "sched_setscheduler": 144, "sched_setaffinity": 203,
             "ioprio_set": 251, "prlimit64": 302, "sched_setattr": 314}  # fmt: skip
WHOLE_USER = {"setpriority": 2, "ioprio_set": 3}
"""PRIO_USER, IOPRIO_WHO_USER: what these set by their first argument, for the second one."""
_KEYRINGS = (248, 249, 250)  # add_key, request_key, keyctl
_SOCKET, _IOCTL, _FCNTL = 41, 16, 72
_FAMILIES = (21, 30, 33)  # AF_RDS, AF_TIPC, AF_RXRPC
_LEASES = (1024, 1040)  # F_SETLEASE, F_SETDELEG
_MARKS = (
    0x40086602, 0x40046602, 0x40087602, 0x40047602, 0x401C5820,  # FS_IOC_SETFLAGS, _SETVERSION, and for 32 bits; _FSSETXATTR
    0x40086604, 0x6609, 0x40806685, 0x800C6613,  # EXT4_IOC_SETVERSION, _MIGRATE; FS_IOC_ENABLE_VERITY, _SET_ENCRYPTION_POLICY
)  # fmt: skip
_KIND_OF_IOCTL, _BTRFS, _BCACHEFS = 0xFF00, 0x9400, 0xBC00
_CLONES = (0x40049409, 0x4020940D, 0xC0189436, 0x81009431)  # FICLONE, FICLONERANGE, FIDEDUPERANGE, FS_IOC_GETFSLABEL

_LD_W_ABS, _JEQ_K, _AND_K, _RET_K = 0x20, 0x15, 0x54, 0x06
_ALLOW, _NOTIFY, _ERRNO = 0x7FFF0000, 0x7FC00000, 0x00050000

Step = tuple[int, int, int, int]


def steps() -> list[Step]:
    """To be run with the call's number loaded; for other calls it still is afterwards."""
    found: list[Step] = []
    for number in _KEYRINGS:
        found += _of(number, [_end(_ERRNO | errno.ENOSYS)])
    found += _of(_IOCTL, _ioctl())
    found += _of(_FCNTL, [_load(1), *_match(_LEASES, _ERRNO | errno.EINVAL), _end(_ALLOW)])
    found += _of(_SOCKET, [_load(0), *_match(_FAMILIES, _ERRNO | errno.EAFNOSUPPORT), (_LD_W_ABS, 0, 0, 0)], ends=False)
    for name, number in PROCESSES.items():
        found += _of(number, _limits() if name == "prlimit64" else _priority(WHOLE_USER.get(name)))
    return found


def _ioctl() -> list[Step]:
    no = _ERRNO | errno.ENOTTY  # as where a file system has no such thing
    of_kind = [(_AND_K, 0, 0, _KIND_OF_IOCTL), *_match((_BTRFS, _BCACHEFS), no), _end(_ALLOW)]
    return [_load(1), *_match(_MARKS, no), *_match(_CLONES, _ALLOW), *of_kind]


def _limits() -> list[Step]:
    """To look at them is everybody's, and so is to set one's own."""
    return [
        *(_load(0), (_JEQ_K, 4, 0, 0)),
        *(_load(2), (_JEQ_K, 0, 3, 0)),
        *(_load(2, upper=True), (_JEQ_K, 0, 1, 0)),
        _end(_ALLOW),
        _end(_NOTIFY),
    ]


def _priority(whole_user: int | None) -> list[Step]:
    kind: list[Step] = [] if whole_user is None else [_load(0), (_JEQ_K, 2, 0, whole_user)]
    return [*kind, _load(0 if whole_user is None else 1), (_JEQ_K, 1, 0, 0), _end(_NOTIFY), _end(_ALLOW)]


def _of(number: int, those: list[Step], *, ends: bool = True) -> list[Step]:
    """Steps of one call, of which the last one ends it, or leaves its number loaded."""
    assert ends or those[-1] == (_LD_W_ABS, 0, 0, 0)
    return [(_JEQ_K, 0, len(those), number), *those]


def _match(values: tuple[int, ...], verdict: int) -> list[Step]:
    """If one of these is loaded, that is the answer."""
    last = len(values) - 1
    return [*((_JEQ_K, last - at, int(at == last), each) for at, each in enumerate(values)), _end(verdict)]


def _load(argument: int, *, upper: bool = False) -> Step:
    return (_LD_W_ABS, 0, 0, 16 + 8 * argument + 4 * upper)


def _end(verdict: int) -> Step:
    return (_RET_K, 0, 0, verdict)
