"""A seccomp filter for x86_64 that allows and forbids what Docker's default profile does, from Docker's documentation of it.

Docker lists what is allowed. Of the calls that Linux has, the few that are not are shorter to say, so this lists those: with
the capabilities of an ordinary container, on Linux 4.8 or newer. Is not: a judgement of i386 and x32 calls, which pass.
"""

from __future__ import annotations

import ctypes
import errno
import struct

from wherry.launcher import syscalls

FORBIDDEN = {
    # Namespaces, mounts and names of the machine: CAP_SYS_ADMIN's.
    "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442, "sethostname": 170,
    "setdomainname": 171, "syslog": 103, "quotactl": 179, "quotactl_fd": 443, "bpf": 321, "perf_event_open": 298,
    "fanotify_init": 300, "lookup_dcookie": 212, "lsm_get_self_attr": 459, "lsm_set_self_attr": 460,
    "lsm_list_modules": 461,
    # Other processes: CAP_SYS_PTRACE's. ptrace and process_vm_* are allowed since Linux 4.8.
    "pidfd_getfd": 438, "kcmp": 312, "process_madvise": 440,
    # Memory on nodes: CAP_SYS_NICE's.
    "get_mempolicy": 239, "set_mempolicy": 238, "mbind": 237, "set_mempolicy_home_node": 450, "migrate_pages": 256,
    "move_pages": 279,
    # The machine itself: CAP_SYS_BOOT's, _MODULE's, _TIME's, _RAWIO's, _PACCT's, _TTY_CONFIG's, _DAC_READ_SEARCH's.
    "reboot": 169, "kexec_load": 246, "kexec_file_load": 320, "init_module": 175, "finit_module": 313,
    "delete_module": 176, "create_module": 174, "query_module": 178, "get_kernel_syms": 177, "settimeofday": 164,
    "clock_settime": 227, "iopl": 172, "ioperm": 173, "acct": 163, "vhangup": 153, "open_by_handle_at": 304,
    "swapon": 167, "swapoff": 168,
    # Large in attack surface, or of another age.
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "userfaultfd": 323, "nfsservctl": 180,
    "sysfs": 139, "_sysctl": 156, "uselib": 134, "ustat": 136, "vserver": 236, "security": 185,
    # Left out for years and allowed of late: forbidden here, as on most machines.
    "add_key": 248, "request_key": 249, "keyctl": 250,
}  # fmt: skip
_NEWEST = 466  # removexattrat: what is newer than the profile does not exist for the container
_CLONE, _CLONE3, _PERSONALITY, _SOCKET = 56, 435, 135, 41
_CLONE_NEW = 0x7E020000
"""The flags of clone(2) that make namespaces."""
_PERSONALITIES = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)
_AF_VSOCK = 40

_LD_W_ABS, _JEQ_K, _JGT_K, _JSET_K, _RET_K = 0x20, 0x15, 0x25, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_ARCHITECTURE, _NUMBER, _FIRST_ARGUMENT = 4, 0, 16
_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
_Instruction = tuple[int, int, int, int]


def program() -> bytes:
    """The filter as an array of struct sock_filter."""
    denied = _RET_K, 0, 0, _ERRNO | errno.EPERM
    missing = _RET_K, 0, 0, _ERRNO | errno.ENOSYS
    allowed = _RET_K, 0, 0, _ALLOW
    numbers = sorted(FORBIDDEN.values())
    code: list[_Instruction] = [
        (_LD_W_ABS, 0, 0, _ARCHITECTURE),
        (_JEQ_K, 1, 0, _X86_64),
        allowed,
        (_LD_W_ABS, 0, 0, _NUMBER),
        (_JSET_K, 0, 1, _X32_BIT),
        allowed,
        (_JGT_K, 0, 1, _NEWEST),
        missing,
        (_JEQ_K, 0, 1, _CLONE3),  # libraries then use clone, whose flags can be looked at
        missing,
        (_JEQ_K, 0, 4, _CLONE),
        (_LD_W_ABS, 0, 0, _FIRST_ARGUMENT),
        (_JSET_K, 0, 1, _CLONE_NEW),
        denied,
        allowed,
        (_JEQ_K, 0, 4, _SOCKET),
        (_LD_W_ABS, 0, 0, _FIRST_ARGUMENT),
        (_JEQ_K, 0, 1, _AF_VSOCK),
        denied,
        allowed,
        (_JEQ_K, 0, len(_PERSONALITIES) + 3, _PERSONALITY),
        (_LD_W_ABS, 0, 0, _FIRST_ARGUMENT),
        *((_JEQ_K, len(_PERSONALITIES) - at, 0, value) for at, value in enumerate(_PERSONALITIES)),
        denied,
        allowed,
        *((_JEQ_K, len(numbers) - at, 0, number) for at, number in enumerate(numbers)),
        allowed,
        denied,
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def install() -> None:
    """For this process and all it becomes. Needs CAP_SYS_ADMIN, or no_new_privs. Raises SyscallError."""
    code = program()
    buffer = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer)))
    syscalls.prctl(syscalls.PR_SET_SECCOMP, 2, ctypes.addressof(header))
