"""A whole Wherry system for the tests: its own state, port, name and kubeconfig, as root or as an ordinary user.

Nothing here sleeps for a length of time: `until` looks again and again until something is so.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from wherry.cluster import processes
from wherry.cluster.paths import State
from wherry.cluster.system import ROLES

PATIENCE = 60.0
"""Seconds until a condition that should hold within one is called missing: other work runs on the same cores."""
T = TypeVar("T")


def until(condition: Callable[[], T | None], what: str = "", seconds: float = PATIENCE) -> T:
    """What `condition` returns once it is true. Raises AssertionError."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what or condition}"
        time.sleep(0.01)
    return found


@dataclass(frozen=True)
class Tier:
    """How the system runs: the tier, as whom (None: as we are), and with which python."""

    name: str
    user: str | None = None
    python: str = sys.executable

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL", "PYTHONPATH") if key in os.environ}
        if self.user is None:
            return kept
        return {**kept, "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "USER": self.user}

    def run_as(self) -> dict[str, Any]:
        """Arguments for subprocess."""
        if self.user is None:
            return {}
        return {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}


class WherrySystem:
    """`start` and `stop` are `wherry up` and `wherry down`; `close` checks that nothing is left."""

    def __init__(self, tier: Tier, *, state: str = "state") -> None:
        self.tier = tier
        self.home = Path(tempfile.mkdtemp(prefix="wherry-e2e-"))
        self.home.chmod(0o755)
        if tier.user is not None:
            owner = pwd.getpwnam(tier.user)
            os.chown(self.home, owner.pw_uid, owner.pw_gid)
        self.state = self.home / state
        self.kubeconfig = self.home / "kubeconfig"
        self.name = f"e2e-{secrets.token_hex(4)}"
        self.port = free_port()
        self._seen: dict[int, int] = {}

    @property
    def context(self) -> str:
        return f"wherry-{self.name}"

    def environment(self) -> dict[str, str]:
        return {**self.tier.environment, "HOME": str(self.home), "KUBECONFIG": str(self.kubeconfig)}

    def wherry(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line for this system; a command of two words is one argument."""
        where = ["--name", self.name, "--state-dir", str(self.state)]
        command, *rest = arguments
        done = subprocess.run(
            [self.tier.python, "-m", "wherry", *command.split(), *where, *rest],
            capture_output=True,
            text=True,
            cwd="/",
            env=self.environment(),
            timeout=90,
            **self.tier.run_as(),
        )
        assert not check or done.returncode == 0, (
            f"wherry {' '.join(arguments)}: {done.stdout}{done.stderr}{self.logs()}"
        )
        return done

    def start(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = self.wherry("up", "--port", str(self.port), "--tier", self.tier.name, *arguments)
        self.port = json.loads((self.state / "config.json").read_text())["port"]
        return done

    def stop(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        self._remember()
        return self.wherry("down", *arguments)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.wherry("status", "-o", "json", check=False).stdout)
        return found

    def pid(self, role: str) -> int | None:
        """The process of that role if it runs."""
        found = processes.running(State(self.state).pid_file(role))
        return found.pid if found else None

    def kill(self, role: str) -> int:
        """kill -9; returns the pid once it is gone."""
        self._remember()
        pid = until(lambda: self.pid(role), f"{role} runs")
        os.kill(pid, signal.SIGKILL)
        until(lambda: not processes.start_time(pid), f"{role} is gone")
        return pid

    def back(self, role: str, killed: int) -> int:
        """The pid of the process that took the killed one's place."""
        return until(lambda: (pid := self.pid(role)) and pid != killed and pid, f"{role} is back") or 0

    def logs(self, lines: int = 15) -> str:
        """The ends of every process's log."""
        found = []
        for file in sorted((self.state / "logs").glob("*.log")):
            end = "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
            found.append(f"--- {file.name}\n{end}")
        return "\n" + "\n".join(found)

    def _remember(self) -> None:
        """Every process of the system, to see that none outlives it."""
        roots = [pid for role in ROLES if (pid := self.pid(role))]
        self._seen.update({pid: start for pid in _descendants(roots) if (start := processes.start_time(pid))})

    def close(self) -> None:
        """Stop, delete, and assert that no process, mount, socket or file remains."""
        self._remember()
        if self.state.exists():
            self.wherry("down", "--delete")
        left = [pid for pid, start in self._seen.items() if processes.start_time(pid) == start]
        text = f"processes: {[_command(pid) for pid in left]}" if left else ""
        if str(self.home) in Path("/proc/self/mountinfo").read_text():
            text += " mounts in /proc/self/mountinfo"
        if self.state.exists():
            text += f" files: {list(self.state.rglob('*'))[:10]}"
        if self.kubeconfig.exists() and self.context in self.kubeconfig.read_text():
            text += f" {self.context} in {self.kubeconfig}"
        shutil.rmtree(self.home, ignore_errors=True)
        assert not text, f"left behind by the system in tier {self.tier.name}: {text}"


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_given: set[int] = set()


def free_port(among: range = range(20000, 30000), address: str = "127.0.0.1") -> int:
    """One that nobody has, and that nobody gets before it is used: no two workers choose among the same ones, none is given
    twice, and the kernel gives connections only those from 32768 on."""
    ours = [number for number in among if number % _WORKERS == _WORKER and number not in _given]
    with socket.socket() as probe:
        while True:
            number = secrets.choice(ours)
            try:
                probe.bind((address, number))
            except OSError:
                continue
            _given.add(number)
            return number


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return str(pid)


def _descendants(roots: list[int]) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found
