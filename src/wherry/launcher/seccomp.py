"""One static seccomp filter: where only a single user exists, changing owner or user succeeds without doing anything.

Stock images start as root and drop privileges (`user nginx;`); with a single mapped id those calls fail with EINVAL and
the image does not start. The filter answers them with success. It costs no supervisor and nothing per other call beyond
a few instructions. Programs that check getuid() afterwards still see 0.
"""

from __future__ import annotations

import ctypes
import os
import struct

from wherry.launcher import syscalls

_SECCOMP_MODE_FILTER = 2
_RET_ALLOW = 0x7FFF0000
_RET_ERRNO_0 = 0x00050000
_LD_W_ABS, _JEQ_K, _RET_K = 0x20, 0x15, 0x06

# chown fchown lchown fchownat setuid setgid setreuid setregid setgroups setresuid setresgid (asm/unistd.h)
_PRETENDED = {
    "x86_64": (0xC000003E, (92, 93, 94, 260, 105, 106, 113, 114, 116, 117, 119)),
    "aarch64": (0xC00000B7, (55, 54, 146, 144, 145, 143, 159, 147, 149)),
}


def program(machine: str) -> bytes | None:
    """The filter as an array of struct sock_filter; None on an architecture whose numbers we do not know."""
    known = _PRETENDED.get(machine)
    if known is None:
        return None
    architecture, numbers = known
    allow = len(numbers) + 1  # instructions from the first comparison of numbers to ALLOW
    code = [
        (_LD_W_ABS, 0, 0, 4),  # seccomp_data.arch
        (_JEQ_K, 0, allow, architecture),
        (_LD_W_ABS, 0, 0, 0),  # seccomp_data.nr
        *((_JEQ_K, len(numbers) - index, 0, number) for index, number in enumerate(numbers)),
        (_RET_K, 0, 0, _RET_ALLOW),
        (_RET_K, 0, 0, _RET_ERRNO_0),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def fake_root() -> None:
    """Install the filter for this process and what it becomes. Needs CAP_SYS_ADMIN in its user namespace, or no_new_privs."""
    code = program(os.uname().machine)
    if code is None:
        return
    buffer = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer)))
    syscalls.prctl(syscalls.PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header))
