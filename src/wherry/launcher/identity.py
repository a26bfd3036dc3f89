"""Who a process in a container is: user, groups, capabilities, environment, program. The last steps before execve.

Used for the container's own process and for exec alike.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping

from wherry.launcher import capabilities, seccomp, syscalls
from wherry.launcher.context import Context
from wherry.launcher.protocol import LauncherError
from wherry.launcher.specs import ContainerSpec
from wherry.launcher.syscalls import SyscallError

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # what container runtimes give


def own_user_namespace(spec: ContainerSpec, context: Context) -> bool:
    """With a single mapped id a container of another user gets a user namespace in which our one user has that number."""
    return context.single_user and (spec["uid"] != 0 or spec["gid"] != 0) and not spec["privileged"]


def enter_user_namespace(spec: ContainerSpec) -> None:
    """For `own_user_namespace`: after the mounts, before `assume`. Needs the container's /proc."""
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    for name, value in (("setgroups", "deny"), ("uid_map", f"{spec['uid']} 0 1"), ("gid_map", f"{spec['gid']} 0 1")):
        try:
            with open(f"/proc/self/{name}", "w") as file:
                file.write(value)
        except OSError as error:
            raise SyscallError(error.errno or 0, "write", f"{value!r} to /proc/self/{name}") from error


def assume(spec: ContainerSpec, context: Context) -> None:
    """Become the container's user with its capabilities."""
    names = capabilities.choose(
        privileged=spec["privileged"], drop=spec["drop_capabilities"], add=spec["add_capabilities"]
    )
    own = own_user_namespace(spec, context)
    if not spec["privileged"]:
        capabilities.limit_bounding(names)
    if context.single_user and not own:
        seccomp.fake_root()
    if not context.single_user:
        _become(spec)
    if spec["uid"] == 0:
        capabilities.apply(names)
    elif own:
        capabilities.apply(frozenset())
    if spec["no_new_privileges"]:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)


def _become(spec: ContainerSpec) -> None:
    try:
        os.setgroups(sorted({spec["gid"], *spec["groups"]}))
        os.setresgid(spec["gid"], spec["gid"], spec["gid"])
        os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    except OSError as error:
        who = f"user {spec['uid']}, group {spec['gid']}, groups {sorted(spec['groups'])}"
        if error.errno == errno.EINVAL:
            raise LauncherError(
                "CreateContainerError", f"{who}: an id has no mapping in the node's user namespace"
            ) from error
        raise SyscallError(error.errno or 0, "setresuid", who) from error


def environment(spec: ContainerSpec, hostname: str, *, tty: bool, users: str = "/etc/passwd") -> dict[str, str]:
    """The configured variables with those that every container runtime adds. Nothing of the machine's own. `users`: where the
    container's file of them is."""
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if tty:
        env["TERM"] = "xterm"
    env.update(spec["env"])
    if not env.get("HOME"):
        env["HOME"] = _home(spec["uid"], users)
    return env


def _home(uid: int, users: str) -> str:
    try:
        with open(users, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                fields = line.split(":")
                if len(fields) > 5 and fields[2] == str(uid):
                    return fields[5] or "/"
    except OSError:
        pass
    return "/root" if uid == 0 else "/"


def enter_directory(path: str) -> None:
    """The working directory, made if it is missing as container runtimes do."""
    try:
        os.makedirs(path, mode=0o755, exist_ok=True)
    except OSError:  # a read-only mount: chdir says what is wrong
        pass
    try:
        os.chdir(path)
    except OSError as error:
        raise LauncherError(
            "RunContainerError", f"chdir to cwd ({path!r}) set in config.json failed: {_text(error)}"
        ) from error


def find_program(name: str, env: Mapping[str, str]) -> str:
    """The file to execute. Raises LauncherError(StartError) in the words users know from runc."""
    if "/" in name:
        failure = _refusal(name)
        if failure:
            raise LauncherError("StartError", f'exec: "{name}": {failure}')
        return name
    denied = False
    for directory in env.get("PATH", "").split(":"):
        path = os.path.join(directory or ".", name)
        failure = _refusal(path)
        if failure is None:
            return path
        denied = denied or failure == "permission denied"
    text = "permission denied" if denied else "executable file not found in $PATH"
    raise LauncherError("StartError", f'exec: "{name}": {text}')


def _refusal(path: str) -> str | None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return f"stat {path}: {_text(error)}"
    if stat.S_ISDIR(mode):
        return "is a directory"
    return None if os.access(path, os.X_OK) else "permission denied"


def execute(argv: list[str], env: dict[str, str]) -> None:
    """Find the program and become it; returns never. Raises LauncherError(StartError)."""
    replace(find_program(argv[0], env), argv, env)


def replace(program: str, argv: list[str], env: dict[str, str]) -> None:
    """execve; returns never. Raises LauncherError(StartError)."""
    try:
        os.execve(program, argv, env)  # noqa: S606
    except OSError as error:
        text = "exec format error" if error.errno == errno.ENOEXEC else _text(error)
        raise LauncherError("StartError", f"exec {program}: {text}") from error
    except ValueError as error:  # a zero byte in argv or env
        raise LauncherError("StartError", f"exec {program}: {error}") from error


def _text(error: OSError) -> str:
    """Go's lower-case texts of errno."""
    text = os.strerror(error.errno or 0)
    return text[:1].lower() + text[1:]
