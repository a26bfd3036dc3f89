"""Who is who inside the node's user namespace: subordinate ids where the machine grants them, else one single user.

With /etc/subuid and a set-uid newuidmap(1) users 1...65535 of a pod are real; without, only user 0 exists, it is us, and
`seccomp.fake_root` lets programs believe that their chown and setuid worked.
"""

from __future__ import annotations

import os
import pwd
import shutil
from dataclasses import dataclass

from wherry.launcher import syscalls
from wherry.launcher.syscalls import SyscallError

_COUNT_WANTED = 65536  # images use ids up to 65534 (nobody)


@dataclass(frozen=True, slots=True)
class Maps:
    """First subordinate id and how many of them; a count of 0 means a single user."""

    uid_start: int = 0
    uid_count: int = 0
    gid_start: int = 0
    gid_count: int = 0
    reason: str = ""
    """Why there is only one user."""

    @property
    def many(self) -> bool:
        return self.uid_count > 0 and self.gid_count > 0


def find() -> Maps:
    """What this user may map; says in `reason` what is missing."""
    missing = [tool for tool in ("newuidmap", "newgidmap") if shutil.which(tool) is None]
    if missing:
        return Maps(reason=f"{' and '.join(missing)} not found (package uidmap)")
    uid, gid = _range("/etc/subuid"), _range("/etc/subgid")
    if uid is None or gid is None:
        return Maps(reason=f"no range of {_COUNT_WANTED - 1} ids for this user in /etc/subuid and /etc/subgid")
    return Maps(*uid, *gid)


def _range(path: str) -> tuple[int, int] | None:
    names = {str(os.getuid())}
    try:
        names.add(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:  # a user without an entry, as in containers
        pass
    try:
        with open(path) as lines:
            entries = [line.strip().split(":") for line in lines]
    except OSError:
        return None
    for entry in entries:
        if len(entry) == 3 and entry[0] in names and entry[1].isdigit() and entry[2].isdigit():
            count = min(int(entry[2]), _COUNT_WANTED - 1)
            if count == _COUNT_WANTED - 1:
                return int(entry[1]), count
    return None


def enter(maps: Maps) -> Maps:
    """Move this single-threaded process into a new user namespace as its user 0. The maps that took effect.

    Raises SyscallError. When the set-uid helpers fail (nosuid mounts, missing capabilities) one user remains.
    """
    uid, gid = os.getuid(), os.getgid()
    if maps.many:
        failure = _enter_with_helpers(maps, uid, gid)
        if failure is None:
            return maps
        maps = Maps(reason=failure)
    else:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"0 {uid} 1")
    _write("/proc/self/gid_map", f"0 {gid} 1")
    return maps


def _enter_with_helpers(maps: Maps, uid: int, gid: int) -> str | None:
    """newuidmap must run outside the new namespace, on a process inside it: a child waits for us to unshare."""
    read, write = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(write)
            os.read(read, 1)
            _run(["newuidmap", str(parent), "0", str(uid), "1", "1", str(maps.uid_start), str(maps.uid_count)])
            _run(["newgidmap", str(parent), "0", str(gid), "1", "1", str(maps.gid_start), str(maps.gid_count)])
            status = 0
        except Exception:  # noqa: BLE001 -- whatever it was, one user remains
            status = 1
        finally:
            os._exit(status)
    os.close(read)
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
    finally:
        os.close(write)
        _, status = os.waitpid(child, 0)
    if status != 0:
        return "newuidmap or newgidmap failed"
    return None


def _run(argv: list[str]) -> None:
    import subprocess  # only where there are helpers

    subprocess.run(
        argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=10
    )


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise SyscallError(error.errno or 0, "write", f"{text!r} to {path}") from error
