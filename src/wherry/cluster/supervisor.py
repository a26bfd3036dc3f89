"""The first process of a running system: starts the others, starts them again, and ends them.

Nearly empty on purpose: it must not fail, and killed it takes nothing with it. A supervisor that starts where others
still run adopts them by their pid files. It is single-threaded, uses the standard library only and knows no Kubernetes.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wherry.cluster import processes
from wherry.cluster.processes import Process

RESTART_SECONDS_MAX = 5.0  # a process that cannot start must not eat a core, nor be forgotten
KILLED_SECONDS_MAX = 0.4  # but SIGKILL is no fault of its own: it is back within a second, however often that happens
STEADY_SECONDS = 10.0  # one that ran this long starts again at once
STOP_SECONDS = 15.0  # the launcher gives containers up to 10 s of grace


@dataclass(slots=True)
class Role:
    """One supervised process. `listen` is a socket address it gets as an open, listening descriptor (LISTEN_FD); `after` is how
    many seconds after the supervisor it starts at first, so that those everybody waits for have the processors."""

    name: str
    argv: Sequence[str]
    pid_file: Path
    log: Path
    listen: tuple[str, int] | None = None
    after: float = 0.0
    process: Process | None = None
    descriptor: int = -1
    ours: bool = False
    started: float = 0.0
    failures: int = 0
    start_at: float = 0.0
    listener: socket.socket | None = field(default=None, repr=False)


class Supervisor:
    """Keeps `roles` running, in order, until told to stop; stops them in the opposite order."""

    def __init__(self, roles: Sequence[Role], monotonic: Callable[[], float] = time.monotonic) -> None:
        self.roles = roles
        self.monotonic = monotonic
        self.stopping = False

    def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        begun = self.monotonic()
        for role in self.roles:
            if not self._adopt(role):
                role.start_at = begun + role.after
        self._start_due()
        while not self.stopping:
            self._wait(wake_read)
        self.stop()

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _adopt(self, role: Role) -> bool:
        process = processes.running(role.pid_file)
        descriptor = process.open() if process else None
        if process is None or descriptor is None:
            return False
        role.process, role.descriptor, role.ours, role.started = process, descriptor, False, self.monotonic()
        _say(f"{role.name}: took over process {process.pid}")
        return True

    def _start(self, role: Role) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        passed: list[int] = []
        if role.listen:
            role.listener = role.listener or _listen(role.listen)
            if role.listener:
                passed.append(role.listener.fileno())
                environment["LISTEN_FD"] = str(role.listener.fileno())
        role.started = self.monotonic()
        try:
            pid = _spawn(role.argv, role.log, environment, passed)
        except OSError as error:
            self._put_off(role, str(error))
            return
        role.descriptor, role.ours = os.pidfd_open(pid), True
        try:
            role.process = processes.record(pid, role.pid_file) or Process(pid, -1)
        except OSError as error:  # a full disk: nobody would ever find a process without a pid file
            signal.pidfd_send_signal(role.descriptor, signal.SIGKILL)
            os.waitid(os.P_PIDFD, role.descriptor, os.WEXITED)
            os.close(role.descriptor)
            role.descriptor = -1
            self._put_off(role, str(error))
            return
        _say(f"{role.name}: started process {pid}")

    def _put_off(self, role: Role, why: str) -> None:
        role.failures += 1
        delay = pause(role.failures, killed=False)
        role.start_at = self.monotonic() + delay
        _say(f"{role.name}: cannot start: {why}; tried again in {delay:.1f} s")

    def _wait(self, wake: int) -> None:
        """Sleep until a process ends, a restart is due or a signal arrives."""
        now = self.monotonic()
        due = [role.start_at - now for role in self.roles if role.process is None]
        watched = {role.descriptor: role for role in self.roles if role.process is not None}
        readable, _, _ = select.select([wake, *watched], [], [], max(min(due), 0) if due else None)
        for descriptor in readable:
            if descriptor == wake:
                os.read(wake, 1024)
            else:
                self._ended(watched[descriptor])
        self._start_due()

    def _start_due(self) -> None:
        for role in self.roles:
            if role.process is None and not self.stopping and role.start_at <= self.monotonic():
                self._start(role)

    def _ended(self, role: Role) -> None:
        how, killed = "ended", True  # nobody tells us how one ended that we did not start
        if role.ours:
            result = os.waitid(os.P_PIDFD, role.descriptor, os.WEXITED)
            assert result is not None
            exited = result.si_code == os.CLD_EXITED
            how = f"exited {result.si_status}" if exited else f"killed by signal {result.si_status}"
            killed = not exited and result.si_status == signal.SIGKILL
        os.close(role.descriptor)
        role.process, role.descriptor = None, -1
        steady = self.monotonic() - role.started > STEADY_SECONDS
        role.failures = 0 if steady else role.failures + 1
        delay = pause(role.failures, killed=killed)
        role.start_at = self.monotonic() + delay
        _say(f"{role.name}: {how}, starts again in {delay:.1f} s")

    def stop(self) -> None:
        """End every process, last started first, each with its own time to finish."""
        for role in reversed(self.roles):
            if role.process is None:
                continue
            role.process.signal(signal.SIGTERM)
            if not role.process.wait(STOP_SECONDS):
                _say(f"{role.name}: did not end within {STOP_SECONDS:.0f} s, killed")
                role.process.signal(signal.SIGKILL)
                role.process.wait(STOP_SECONDS)
            role.pid_file.unlink(missing_ok=True)
            _say(f"{role.name}: stopped")


def pause(failures: int, *, killed: bool) -> float:
    """Seconds before the next start after so many ends in a row that came too soon."""
    longest = KILLED_SECONDS_MAX if killed else RESTART_SECONDS_MAX
    return 0.0 if failures < 2 else min(0.1 * 2 ** (failures - 2), longest)


def _spawn(argv: Sequence[str], log: Path, environment: dict[str, str], passed: Sequence[int]) -> int:
    """Start `argv` with its output appended to `log`; the pid. posix_spawn: nothing of this process is copied."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for descriptor in passed:
        os.set_inheritable(descriptor, True)
    try:
        return os.posix_spawn(
            argv[0],
            list(argv),
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE],
        )
    finally:
        for descriptor in passed:
            os.set_inheritable(descriptor, False)


def _listen(address: tuple[str, int]) -> socket.socket | None:
    """A listening socket kept across restarts of its user, so that clients wait instead of being refused.

    None while another process holds the port (an adopted one that is just ending): the role binds it itself.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        _say(f"cannot listen on {address[0]}:{address[1]}: {error}")
        listener.close()
        return None
    return listener


def _say(message: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):  # a full disk takes our words, and nothing else
        sys.stderr.write(f"{stamp} supervisor {message}\n")
        sys.stderr.flush()
