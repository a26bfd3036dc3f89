"""Sends a signal to a container's first process so that no call of its is lost.

A call that waits for the shim and that the shim has not taken yet is given up when a signal's handler runs: it fails with EINTR
(seccomp_unotify(2)), also connect(2), open(2) or stat(2), which never do that elsewhere and which programs do not repeat. So the
process is stopped first, which interrupts such a call too, but makes it anew; if one was on its way it may go on, and is stopped
again a moment later. What the shim has taken is not interrupted by anything (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV).

Is not: protection from signals that others send. Always true: the signal is sent, after half a second at most, and the
process runs again.
"""

from __future__ import annotations

import os
import signal
import time

from wherry.launcher import syscalls
from wherry.launcher.proc import seccomp_filter

TRIES = 18
PAUSE_SECONDS, PAUSE_GROWTH = 0.001, 1.3  # 0.3 s together: on a busy machine it and the shim need their turns to go on
LOOKS_MAX, LOOK_SECONDS = 40, 0.00025  # of one try: what does not stop within 10 ms waits for something else
_HALTED = "TtZX"  # stopped, traced, ended
_SETTLED = _HALTED + "D"
"""States of threads that do nothing until they are let; D: not to be interrupted, and stopped before the program goes on."""


def send(pid: int, pidfd: int, number: int, *, streams: bool) -> None:
    """`pid` is a child of ours; `streams` as for `seccomp_filter.program`. Raises ProcessLookupError when it has ended."""
    if not _has(pid, "SigCgt", number) or _state(pid, pid) in _HALTED:
        signal.pidfd_send_signal(pidfd, number)
        return
    code = seccomp_filter.program(streams=streams)
    pause = PAUSE_SECONDS
    for attempt in range(TRIES):
        signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
        try:
            if not _is_asking(pid, code) or attempt == TRIES - 1:
                _deliver(pid, pidfd, number)
                return
        finally:
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        time.sleep(pause)
        pause *= PAUSE_GROWTH


def _is_asking(pid: int, code: bytes) -> bool:
    """Whether a thread of a process that is being stopped was interrupted in a call that the filter asks about."""
    try:
        threads = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
        for _ in range(LOOKS_MAX):
            if all(_state(pid, thread) in _SETTLED for thread in threads):
                break
            time.sleep(LOOK_SECONDS)
        return any(_state(pid, thread) == "T" and _asks(pid, thread, code) for thread in threads)
    except OSError:  # it has ended, or may not be looked into
        return False


def _asks(pid: int, thread: int, code: bytes) -> bool:
    with open(f"/proc/{pid}/task/{thread}/syscall") as file:
        number, *arguments = file.read().split()
    if len(arguments) < 6:  # -1: it was stopped outside of any call
        return False
    return seccomp_filter.asks(code, int(number), [int(each, 16) for each in arguments[:6]])


def _deliver(pid: int, pidfd: int, number: int) -> None:
    """To whom the kernel would have chosen: the main thread if it takes such signals. Of threads that are stopped it chooses
    none, and the one that goes on first would get it."""
    if _has(pid, "SigBlk", number):
        signal.pidfd_send_signal(pidfd, number)
    else:
        syscalls.raw("tgkill", pid, pid, number)


def _has(pid: int, mask: str, number: int) -> bool:
    """Whether a signal is in a mask of the main thread's: SigCgt, those with handlers, or SigBlk, those blocked."""
    try:
        with open(f"/proc/{pid}/status") as file:
            found = next((line.split()[1] for line in file if line.startswith(f"{mask}:")), "0")
    except OSError:
        return False
    return bool(int(found, 16) >> (number - 1) & 1)


def _state(pid: int, thread: int) -> str:
    """X: it is gone."""
    try:
        with open(f"/proc/{pid}/task/{thread}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except OSError:
        return "X"
