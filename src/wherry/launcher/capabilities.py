"""Linux capabilities of a container: the default set of container runtimes, drop and add by securityContext.

Works on the calling process only, right before it becomes the container.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterable, Sequence

from wherry.launcher import syscalls
from wherry.launcher.protocol import LauncherError
from wherry.launcher.syscalls import SyscallError, prctl, raw

# linux/capability.h, in the order of their numbers
NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip

# What containerd and CRI-O give a container that says nothing.
DEFAULT = frozenset({
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
})  # fmt: skip

_VERSION_3 = 0x20080522


def choose(*, privileged: bool, drop: Sequence[str], add: Sequence[str]) -> frozenset[str]:
    """The container's set. `ALL` is understood; names with or without CAP_. Raises LauncherError for an unknown name."""
    if privileged:
        return frozenset(NAMES)
    chosen = set(DEFAULT)
    dropped, added = _names(drop), _names(add)
    # As container runtimes do: ALL first, then the names, and what is added wins over what is dropped.
    chosen = set(NAMES) if "ALL" in added else (set() if "ALL" in dropped else chosen)
    return frozenset((chosen - dropped | added) - {"ALL"})


def _names(given: Iterable[str]) -> set[str]:
    names = {name.upper().removeprefix("CAP_") for name in given}
    unknown = names - set(NAMES) - {"ALL"}
    if unknown:
        raise LauncherError("CreateContainerError", f"unknown capability {sorted(unknown)[0]!r}")
    return names


def mask(names: Iterable[str]) -> int:
    """The bits of a set."""
    return sum(1 << NAMES.index(name) for name in names)


def limit_bounding(names: frozenset[str]) -> None:
    """Nothing outside `names` can ever come back by execve."""
    for number, name in enumerate(NAMES):
        if name not in names:
            try:
                prctl(syscalls.PR_CAPBSET_DROP, number)
            except SyscallError as error:
                if error.errno != errno.EINVAL:  # a capability newer than this kernel
                    raise


def apply(names: frozenset[str]) -> None:
    """Permitted and effective become `names` as far as this process has them; inheritable and ambient become empty."""
    _, permitted = _get()
    bits = mask(names) & permitted
    low, high = bits & 0xFFFFFFFF, bits >> 32
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0))
    data = ctypes.create_string_buffer(struct.pack("=6I", low, low, 0, high, high, 0))
    raw("capset", header, data, target=", ".join(sorted(names)))


def _get() -> tuple[int, int]:
    """(effective, permitted) of this process."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0))
    data = ctypes.create_string_buffer(24)
    raw("capget", header, data)
    e0, p0, _, e1, p1, _ = struct.unpack("=6I", data.raw[:24])
    return e0 | e1 << 32, p0 | p1 << 32


def effective() -> int:
    """The bits this process may use now."""
    return _get()[0]
