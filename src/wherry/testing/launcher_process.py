"""A real launcher in a process of its own, for tests: in either tier, and as another user when the tests run as root.

An ordinary user cannot read root's interpreter or a checkout in root's home, so for another user the launcher runs with
the system's python3 on a copy of the package; it needs the standard library only.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import wherry
from wherry.launcher import capabilities, protocol

ORDINARY_USER = "wherrytest"
PATIENCE_SECONDS = 60
SERVICE_ADDRESSES = ("10.96.0.1", "10.96.0.10")
WAYS: dict[str, tuple[str, ...]] = {"exact": (), "rewriting": ("--no-exact",)}
"""Of tier `proc`, by what a test's id says: calls are performed on duplicates of descriptors where the kernel allows that, or
what they name is rewritten in memory. Each with the launcher's options."""


class LauncherProcess:
    """`state` is made for it and removed by `close`; every process below it is gone then.

    `tier`, `user` (None: who runs the tests) and `options` are what it was started with."""

    def __init__(
        self, tier: str, *, user: str | None = None, options: tuple[str, ...] = (), folder: str = "/tmp"
    ) -> None:
        self.tier = tier
        self.state = Path(tempfile.mkdtemp(prefix="wherry-", dir=folder))
        self.socket = self.state / "launcher.sock"
        self.user = user
        self.options = options
        self.state.chmod(0o755)
        if user is not None:
            ensure_user(user)
            shutil.copytree(
                Path(wherry.__file__).parent,
                self.state / "src" / "wherry",
                ignore=shutil.ignore_patterns("__pycache__"),
            )
            self.give(self.state)
        self.start()

    def start(self) -> None:
        """Start, or start again after `kill`; returns when it answers."""
        addresses = [word for ip in SERVICE_ADDRESSES for word in ("--local-address", ip)]
        arguments = [
            "--socket",
            str(self.socket),
            "--tier",
            self.tier,
            "--state",
            str(self.state),
            *addresses,
            *("--grace", "0"),
            *self.options,
        ]
        with (self.state / "stderr").open("ab") as errors:
            self.process = self._popen(arguments, errors)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the launcher did not start: {self.said()}")
            time.sleep(0.005)

    def _popen(self, arguments: list[str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
        command = ["-m", "wherry.launcher", *arguments]
        if self.user is None:
            return subprocess.Popen([sys.executable, *command], stderr=errors)
        return subprocess.Popen(
            ["/usr/bin/python3", *command],
            user=self.user,
            group=pwd.getpwnam(self.user).pw_gid,
            extra_groups=[],
            cwd="/tmp",
            env={
                "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
                "PYTHONPATH": str(self.state / "src"),
                "HOME": f"/home/{self.user}",
            },
            stderr=errors,
        )

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            try:
                sock.connect(protocol.unix_address(self.socket))
                protocol.send(sock, {"id": 1, "op": "ping", "args": {}})
                return protocol.receive(sock) is not None
            except OSError:
                return False

    def said(self) -> str:
        """What it wrote to stderr."""
        return (self.state / "stderr").read_text(errors="replace")

    @property
    def inner_pid(self) -> int:
        """Pid 1 of the node's pid namespace, as the machine numbers it."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def give(self, tree: Path) -> None:
        """Its user owns all of a tree from now on."""
        if self.user is not None:
            owner = pwd.getpwnam(self.user)
            for path in (tree, *tree.rglob("*")):
                os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)

    def kill(self) -> None:
        """kill -9; everything below goes with it."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it as `wherry down` does; one that was killed is started once more, so that it removes its cgroups."""
        if self.process.poll() is not None:
            self.start()
        self.process.terminate()
        self.process.wait()
        for path, folders, _ in os.walk(self.state):
            for name in folders:  # overlayfs leaves directories of mode 000
                if not os.path.islink(os.path.join(path, name)):
                    os.chmod(os.path.join(path, name), 0o700)
        shutil.rmtree(self.state)


def ensure_user(name: str) -> None:
    """An ordinary user of that name; made if missing, and whole for others who ask for it meanwhile. Needs root."""
    turn = os.open("/etc", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX)
        pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "--create-home", name], check=True)
    finally:
        os.close(turn)


def is_root_of_machine() -> bool:
    """Not only user 0: in an ordinary container that one lacks CAP_SYS_ADMIN, and tests then run as they are."""
    return os.geteuid() == 0 and bool(capabilities.effective() & capabilities.mask(["SYS_ADMIN"]))


def ordinary_user() -> str | None:
    """As whom tier `proc` is tested: an ordinary user."""
    return ORDINARY_USER if is_root_of_machine() else None


def tiers() -> list[tuple[str, str | None]]:
    """(tier, user) with namespaces that can be tested here: as root both, else the user's own."""
    return [("ns-root", None), ("ns-user", ORDINARY_USER)] if is_root_of_machine() else [("ns-user", None)]
