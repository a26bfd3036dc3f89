"""What to try when the kernel refuses: the errno of each call that fails on machines in the field, in a user's words."""

from __future__ import annotations

import errno

from wherry.launcher.syscalls import SyscallError

_HINTS: dict[tuple[str, int], str] = {
    ("unshare", errno.EPERM): (
        "namespaces are forbidden here: a seccomp profile (a container without --privileged), AppArmor "
        "(sysctl kernel.apparmor_restrict_unprivileged_userns=0) or sysctl kernel.unprivileged_userns_clone=1"
    ),
    (
        "unshare",
        errno.ENOSPC,
    ): "too many namespaces: raise sysctl user.max_user_namespaces (and max_net_, max_mnt_, max_pid_namespaces)",
    ("unshare", errno.EINVAL): "the kernel lacks this kind of namespace, or the process has more than one thread",
    (
        "mount",
        errno.EPERM,
    ): "mounting is forbidden here: for proc, parts of /proc may be hidden by an outer container runtime",
    (
        "mount",
        errno.EACCES,
    ): "AppArmor may forbid mounts in user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ("mount", errno.ENODEV): "the kernel lacks this file system: is the module loaded (modprobe overlay)?",
    (
        "mount",
        errno.EINVAL,
    ): (
        "overlay inside a user namespace needs Linux 5.11 and a file system with user extended attributes; in a container "
        "whose own files are an overlay it cannot be nested further"
    ),
    ("rtnetlink", errno.EOPNOTSUPP): "the kernel lacks this kind of interface: modprobe veth",
    ("rtnetlink", errno.EPERM): "no CAP_NET_ADMIN over this network namespace",
    ("open_tree", errno.ENOENT): "the source does not exist for the launcher; was it removed?",
    ("open_tree", errno.EACCES): "the launcher's user may not reach the source; check the permissions of its parents",
    ("seccomp", errno.EBUSY): (
        "somebody answers system calls of this process already, and the kernel allows one: inside a pod of tier proc "
        "(or another sandbox of that kind) no second one can run"
    ),
    ("pidfd_getfd", errno.EPERM): "a seccomp profile such as Docker's default forbids it without CAP_SYS_PTRACE",
    ("setns", errno.EPERM): "no CAP_SYS_ADMIN over the namespace's owner",
}


def explain(error: SyscallError) -> str:
    """The error with what to try, if we know."""
    hint = _HINTS.get((error.syscall, error.errno or 0))
    return f"{error}: {hint}" if hint else str(error)
