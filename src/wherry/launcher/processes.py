"""What runs in a pod: one entry per container and per exec'ed process, and the steps of their lives in the pod's init."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from wherry.launcher import protocol
from wherry.launcher.logs import LogFile
from wherry.launcher.loop import READ, Loop
from wherry.launcher.output import Stream, Tee
from wherry.launcher.protocol import Message
from wherry.launcher.rootfs import Writable
from wherry.launcher.specs import ContainerSpec


class Birth:
    """Listens to a fork of ours until execve has happened or failed; `done(error)` is called once, None is success.

    The child sends {"ready"} right before execve; its end of the socket is close-on-exec, so the end of the conversation
    after that is the success.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        master: Callable[[int], None],
        done: Callable[[Message | None], None],
        ready: Callable[[Message, list[int]], None],
    ) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._sock = sock
        self._master = master
        self._done = done
        self._on_ready = ready
        self._ready = False
        self.finished = False
        loop.watch(sock.fileno(), READ, self._read)

    def go(self) -> None:
        """Let the child pass the barrier before execve."""
        try:
            protocol.send(self._sock, {"go": True})
        except OSError:  # it has failed already and says so
            pass

    def abort(self, reason: str, message: str) -> None:
        """It must not start: the caller kills it."""
        if not self.finished:
            self._finish({"reason": reason, "message": message})

    def settle(self) -> None:
        """The child has ended: whatever it said is in the socket, and is heard now."""
        while not self.finished:
            self._read(0)

    def _read(self, _: int) -> None:
        try:
            received = protocol.receive(self._sock)
        except BlockingIOError:
            # Only in `settle`: a descendant that holds the socket would be our bug, and must not make us spin.
            received = None if _ == 0 else ({}, [])
        except OSError:
            received = None
        if received is None:
            self._finish(
                None if self._ready else {"reason": "RunContainerError", "message": "it was killed before its start"}
            )
            return
        message, fds = received
        if "master" in message and fds:
            self._master(fds.pop())
        if "ready" in message:
            self._ready = True
            self._on_ready(message, fds)
        protocol.close_fds(fds)
        if "error" in message:
            self._finish(message["error"])

    def _finish(self, error: Message | None) -> None:
        self.finished = True
        self._loop.unwatch(self._sock.fileno())
        self._sock.close()
        self._done(error)


@dataclass
class Running:
    """A container between fork and exit."""

    id: str
    spec: ContainerSpec
    pid: int
    pidfd: int
    group: str
    namespace: str
    """`pid:<inode>`, what its processes have in common, see stats.py; `mnt:<inode>` in a shared pid namespace."""
    writable: Writable
    log: LogFile | None
    birth: Birth | None = None
    stdin: int = -1
    """Writing end of its stdin, or its terminal's master."""
    streams: dict[str, Stream] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    started: bool = False
    failure: Message | None = None
    promises: list[tuple[str, str, bool]] = field(default_factory=list)
    """In tier proc: where its paths really are."""
    exit: int | None = None

    def signal(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:  # it has just ended
            pass

    def close(self) -> None:
        for fd in (self.pidfd, self.stdin):
            if fd >= 0:
                os.close(fd)
        self.pidfd = self.stdin = -1
        if self.log is not None:
            self.log.close()


class Session:
    """The leash of an exec'ed process or an attached client: the client closes its end to leave, we send {"code"} at the end."""

    def __init__(self, loop: Loop, sock: socket.socket, left: Callable[[], None]) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._sock: socket.socket | None = sock
        self._left = left
        self.tees: list[tuple[Stream, Tee]] = []
        loop.watch(sock.fileno(), READ, self._read)

    def _read(self, _: int) -> None:
        assert self._sock is not None
        try:
            received = protocol.receive(self._sock)
        except BlockingIOError:
            return
        except OSError:
            received = None
        if received is not None:
            protocol.close_fds(received[1])
            return
        self.close()
        self._left()

    def end(self, code: int) -> None:
        """Tell the client the exit code."""
        if self._sock is not None:
            try:
                protocol.send(self._sock, {"code": code})
            except OSError:
                pass
            self.close()

    def close(self) -> None:
        if self._sock is not None:
            self._loop.unwatch(self._sock.fileno())
            self._sock.close()
            self._sock = None
