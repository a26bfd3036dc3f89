"""The child that becomes a container: from the fork in its pod's init to execve, in the order it happens.

Everything mounted is made or cloned *detached* first, while the machine's files are still in sight, and attached after
pivot_root: then every target is resolved inside the container, and no symbolic link of an image can point a mount at
the machine. Runs in the pod's network, IPC and UTS namespaces, in its own pid namespace unless the pod shares one.
"""

from __future__ import annotations

import os
import socket
import stat
from typing import NoReturn

from wherry.launcher import identity, protocol, syscalls, terminal
from wherry.launcher.context import Context
from wherry.launcher.hints import explain
from wherry.launcher.loop import after_fork
from wherry.launcher.mounts import (
    ATTR_NODEV,
    ATTR_NOEXEC,
    ATTR_NOSUID,
    ATTR_RDONLY,
    attach,
    make_private_tree,
    new_filesystem,
    open_tree,
    pivot_root_here,
    set_attributes,
    set_attributes_at,
)
from wherry.launcher.protocol import LauncherError
from wherry.launcher.rootfs import Writable, assemble
from wherry.launcher.specs import ContainerSpec, MountSpec, SandboxSpec
from wherry.launcher.syscalls import SyscallError

_SAFE = ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_OWN_DEVICES = ("pts", "shm", "mqueue", "console")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "fd/0",
    "stdout": "fd/1",
    "stderr": "fd/2",
    "ptmx": "pts/ptmx",
    "core": "/proc/kcore",
}
# The OCI defaults: what would show or change the machine. A file is hidden by /dev/null, a directory by an empty one.
_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
_READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

Tree = tuple[str, int]
"""Target and the descriptor of a detached mount."""


def become(
    spec: ContainerSpec,
    sandbox: SandboxSpec,
    writable: Writable,
    context: Context,
    status: socket.socket,
    stdio: list[int],
) -> NoReturn:
    """Report to `status`: {"master"} with a terminal, {"ready", "mounts"} right before execve, or {"error"}. Never returns."""
    try:
        _prepare(spec, sandbox, writable, context, status, stdio)
    except LauncherError as error:
        _report(status, error.reason, error.message)
    except SyscallError as error:
        _report(status, "RunContainerError", explain(error))
    except BaseException as error:  # noqa: BLE001 -- a fork must not run its parent's code; the text reaches the user
        _report(status, "RunContainerError", f"{type(error).__name__}: {error}")
    finally:
        os._exit(128)


def _report(status: socket.socket, reason: str, message: str) -> None:
    protocol.send(status, {"error": {"reason": reason, "message": message}})


def _prepare(
    spec: ContainerSpec,
    sandbox: SandboxSpec,
    writable: Writable,
    context: Context,
    status: socket.socket,
    stdio: list[int],
) -> None:
    after_fork()
    syscalls.close_all_but({0, 1, 2, status.fileno(), *stdio})
    os.setsid()
    os.umask(0o022)
    _adjust_oom_score(spec["oom_score_adj"])
    syscalls.unshare(syscalls.CLONE_NEWNS)
    mounts = os.stat("/proc/self/ns/mnt").st_ino
    kernel = _kernel_trees(spec, context)
    volumes = [_volume(mount, privileged=spec["privileged"]) for mount in sorted(spec["mounts"], key=_depth)]
    devices = [(f"/dev/{name}", open_tree(f"/dev/{name}")) for name in _device_names(privileged=spec["privileged"])]
    made = assemble(context.staging, spec["rootfs"], writable, context.view)
    os.chdir(context.staging)
    pivot_root_here()
    _attach_all([*kernel, *devices])
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"/dev/{name}")
    if not spec["privileged"]:
        _hide_kernel()
    _attach_all(volumes)
    env = identity.environment(spec, sandbox["hostname"], tty=spec["tty"])
    identity.enter_directory(spec["cwd"] or "/")
    if spec["readonly_rootfs"]:
        for path in made:
            set_attributes_at(path.removeprefix(context.staging) or "/", ATTR_RDONLY)
        os.chdir(spec["cwd"] or "/")
    _take_stdio(spec, status, stdio)
    if identity.own_user_namespace(spec, context):
        identity.enter_user_namespace(spec)
    identity.assume(spec, context)
    if protocol.receive(status) is None:  # limits hold from the first instruction on: the pod's init says when
        raise LauncherError("RunContainerError", "the pod's init has gone")
    protocol.send(status, {"ready": True, "mounts": mounts})
    identity.execute(spec["argv"], env)


def _adjust_oom_score(value: int) -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(value))
    except OSError:  # lowering it needs CAP_SYS_RESOURCE in the machine's own user namespace
        pass


def _depth(mount: MountSpec) -> int:
    """Parents before what lies in them; equal ones in the given order."""
    return os.path.normpath(mount["target"]).count("/")


def _kernel_trees(spec: ContainerSpec, context: Context) -> list[Tree]:
    """Fresh /proc, /sys and /dev. Where an outer container runtime hides parts of them the kernel refuses fresh ones; then
    the outer ones are shown."""
    readonly = 0 if spec["privileged"] else ATTR_RDONLY
    trees = [("/proc", _fresh("proc", "/proc", _SAFE)), ("/sys", _fresh("sysfs", "/sys", _SAFE | readonly))]
    trees.append(("/dev", new_filesystem("tmpfs", ATTR_NOSUID | ATTR_NODEV, mode="755", size="65536k")))
    options = {"mode": "0620", "ptmxmode": "0666"}
    trees.append(("/dev/pts", new_filesystem("devpts", ATTR_NOSUID | ATTR_NOEXEC, **options)))
    trees.append(("/dev/shm", open_tree(context.shared_memory, recursive=False)))
    trees.append(("/dev/mqueue", _fresh("mqueue", "", _SAFE)))
    return [(target, tree) for target, tree in trees if tree >= 0]


def _fresh(fstype: str, fallback: str, attributes: int) -> int:
    try:
        return new_filesystem(fstype, attributes)
    except SyscallError:
        if not fallback:
            return -1
        tree = open_tree(fallback)
        set_attributes(tree, attributes & ~ATTR_NODEV, what=fallback)
        return tree


def _device_names(*, privileged: bool) -> list[str]:
    """Of the machine's /dev; a privileged container gets all but what it has of its own."""
    if privileged:
        return sorted(name for name in os.listdir("/dev") if name not in _DEVICE_LINKS and name not in _OWN_DEVICES)
    return [name for name in _DEVICES if os.path.exists(f"/dev/{name}")]


def _volume(mount: MountSpec, *, privileged: bool) -> Tree:
    if mount["propagation"] == "Bidirectional":
        message = f"mount {mount['target']}: Bidirectional propagation is not supported: the machine never sees a pod's mounts"
        raise LauncherError("CreateContainerError", message)
    if os.path.normpath("/" + mount["target"].lstrip("/")) == "/":
        raise LauncherError("CreateContainerError", "mount /: a volume cannot take the place of the root")
    tree = open_tree(mount["source"])
    # A container may make device nodes (CAP_MKNOD); in a volume of the machine's disk they must not work.
    attributes = (0 if privileged else ATTR_NODEV) | (ATTR_RDONLY if mount["readonly"] else 0)
    if attributes:
        set_attributes(tree, attributes, what=mount["source"])
    if mount["propagation"] != "HostToContainer":
        make_private_tree(tree, what=mount["source"])
    return mount["target"], tree


def _attach_all(trees: list[Tree]) -> None:
    for target, tree in trees:
        _make_target(target, stat.S_ISDIR(os.fstat(tree).st_mode))
        attach(tree, target)
        os.close(tree)


def _make_target(target: str, directory: bool) -> None:
    if os.path.exists(target):
        return
    try:
        if directory:
            os.makedirs(target, mode=0o755, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    except OSError as error:
        raise LauncherError(
            "CreateContainerError", f"make the mount point {target}: {os.strerror(error.errno or 0)}"
        ) from error


def _hide_kernel() -> None:
    for path in _MASKED:
        if os.path.isdir(path):
            tree = new_filesystem("tmpfs", _SAFE | ATTR_RDONLY)
        elif os.path.exists(path):
            tree = open_tree("/dev/null", recursive=False)
        else:
            continue
        attach(tree, path)
        os.close(tree)
    for path in _READONLY:
        if os.path.exists(path):
            tree = open_tree(path)
            set_attributes(tree, ATTR_RDONLY | _SAFE, what=path)
            attach(tree, path)
            os.close(tree)


def _take_stdio(spec: ContainerSpec, status: socket.socket, stdio: list[int]) -> None:
    if spec["tty"]:
        master, slave = terminal.open_pair()
        protocol.send(status, {"master": True}, [master])
        os.close(master)
        terminal.take(slave, spec["uid"], spec["gid"])
        os.close(slave)
        return
    for number, fd in enumerate(stdio):
        try:
            os.fchown(fd, spec["uid"], spec["gid"])  # so that the user can open /dev/stdout anew
        except OSError:
            pass
        os.dup2(fd, number)
