"""Slow work on files in a fork of the launcher, so that nobody waits for it but who asked.

The fork may be our user 0 with every capability over our user namespace: it can read and remove what containers' users
made. At most one answer comes back.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

from wherry.launcher import protocol, syscalls
from wherry.launcher.hints import explain
from wherry.launcher.loop import READ, Loop, after_fork
from wherry.launcher.protocol import Message
from wherry.launcher.syscalls import SyscallError

Done = Callable[[str | None], None]
"""Called with None, or with why it failed."""


def run(loop: Loop, work: Callable[[], None], keep: set[int], done: Done) -> None:
    """Do `work` in a fork that keeps the descriptors `keep`; `done` is called in the loop."""
    ours, theirs = protocol.socketpair()
    if os.fork() == 0:
        _work(work, theirs, keep)
    theirs.close()

    def read(_: int) -> None:
        try:
            received: tuple[Message, list[int]] | None = protocol.receive(ours)
        except OSError:
            received = None
        loop.unwatch(ours.fileno())
        ours.close()
        done(received[0]["error"] if received is not None else "it was killed")

    loop.watch(ours.fileno(), READ, read)


def _work(work: Callable[[], None], report: Any, keep: set[int]) -> None:
    try:
        after_fork()
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a reader that has gone is an error to report
        syscalls.close_all_but({2, report.fileno(), *keep})
        error: str | None = None
        try:
            work()
        except SyscallError as failure:
            error = explain(failure)
        except OSError as failure:
            error = str(failure)
        protocol.send(report, {"error": error})
    except BaseException:  # noqa: BLE001 -- a fork must not run its parent's code
        traceback.print_exc()
    finally:
        os._exit(0)
