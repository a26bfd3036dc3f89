"""The launcher's event loop: epoll and plain functions, no time, no threads.

It exists because the launcher must fork without dragging asyncio along. A handler that raises ends the process: our own
bugs are not hidden, and whoever started us starts us again.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable

from wherry.launcher import syscalls

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
GONE = select.EPOLLHUP | select.EPOLLERR

Handler = Callable[[int], None]


class Loop:
    """Watches descriptors; `handler(events)` is called while one of its events is true (level-triggered)."""

    def __init__(self) -> None:
        self._poll = select.epoll(flags=select.EPOLL_CLOEXEC)
        self._handlers: dict[int, Handler] = {}
        self._stopped = False
        self._child: tuple[socket.socket, socket.socket] | None = None

    def watch(self, fd: int, events: int, handler: Handler) -> None:
        """Start, or change, what is watched for `fd`."""
        if fd in self._handlers:
            self._poll.modify(fd, events)
        else:
            self._poll.register(fd, events)
        self._handlers[fd] = handler

    def unwatch(self, fd: int) -> None:
        """Must come before `fd` is closed; unknown ones are no error."""
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def on_child_exit(self, handler: Callable[[], None]) -> None:
        """Call `handler` in the loop after SIGCHLD (one call may stand for several children)."""
        read, write = socket.socketpair()
        read.setblocking(False)
        write.setblocking(False)
        self._child = (read, write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)

        def drain(_: int) -> None:
            try:
                read.recv(4096)
            except BlockingIOError:
                pass
            handler()

        self.watch(read.fileno(), READ, drain)

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> None:
        """Serve until `stop`."""
        while not self._stopped:
            for fd, events in self._poll.poll():
                handler = self._handlers.get(fd)  # an earlier handler of this round may have removed it
                if handler is not None:
                    handler(events)

    def close(self) -> None:
        self._poll.close()
        if self._child is not None:
            signal.set_wakeup_fd(-1)
            for end in self._child:
                end.close()


def after_fork() -> None:
    """In a fork: default signal handling, so that the parent's loop is not woken by our signals, and what we exec inherits
    nothing of Python's (which ignores SIGPIPE and SIGXFSZ)."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


def reap() -> list[tuple[int, int]]:
    """Every child that has ended: (pid, exit code with 128+n after signal n). Never waits."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        if os.WIFSTOPPED(status):  # it asked its parent to trace it (PTRACE_TRACEME), and we have no wish to
            syscalls.let_go(pid, os.WSTOPSIG(status))
            continue
        ended.append((pid, exit_code(status)))


def exit_code(status: int) -> int:
    """A wait status in the shells' and Kubernetes' way."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
