"""One proxied connection: bytes from client to backend and back by splice(2), never through our memory.

Is: callbacks on the event loop, nothing while nothing flows. Is not: a dialer (`dial.py`) or a listener.
Always true: what has left a socket is in one of the two pipes until the other socket has taken it; so another process
that holds the six descriptors (`descriptors`) can go on where this one was killed. The end of one direction is passed on
as a half-close; an error of one side resets the other.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Callable, Sequence

CHUNK = 1 << 20
"""Asked for at once; a pipe takes 64 KiB of it."""
ROUNDS = 16
"""Pipefuls moved before other connections get their turn."""
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends a reset


class _Direction:
    """One pipe and the two sockets it joins."""

    __slots__ = ("blocked", "ended", "inside", "pipe_in", "pipe_out", "source", "target")

    def __init__(self, source: socket.socket, target: socket.socket, pipe: tuple[int, int]) -> None:
        self.source = source
        self.target = target
        self.pipe_out, self.pipe_in = pipe
        self.inside = 0
        self.blocked = False
        self.ended = False

    def count(self) -> None:
        """Learn what lies in a pipe that somebody else filled."""
        size = array.array("i", [0])
        fcntl.ioctl(self.pipe_out, termios.FIONREAD, size)
        self.inside = size[0]


class Relay:
    """Between two connected, non-blocking stream sockets, which it owns. `on_close` is called once, at its end."""

    __slots__ = ("_back", "_forth", "_loop", "_on_close", "closed", "name")

    def __init__(
        self,
        name: str,
        client: socket.socket,
        backend: socket.socket,
        pipes: tuple[tuple[int, int], tuple[int, int]],
        on_close: Callable[[Relay], None],
    ) -> None:
        self.name = name
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._forth = _Direction(client, backend, pipes[0])
        self._back = _Direction(backend, client, pipes[1])
        self._on_close = on_close

    @classmethod
    def between(
        cls, name: str, client: socket.socket, backend: socket.socket, on_close: Callable[[Relay], None]
    ) -> Relay:
        """A new one. Raises OSError when there are no descriptors left; the sockets are then still the caller's."""
        first = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            second = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            for fd in first:
                os.close(fd)
            raise
        for sock in (client, backend):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(name, client, backend, (first, second), on_close)

    @classmethod
    def restore(cls, name: str, fds: Sequence[int], on_close: Callable[[Relay], None]) -> Relay:
        """Go on with the six descriptors of `descriptors`, which it owns from now on."""
        client, backend = (socket.socket(fileno=fd) for fd in fds[:2])
        relay = cls(name, client, backend, ((fds[2], fds[3]), (fds[4], fds[5])), on_close)
        relay._forth.count()
        relay._back.count()
        return relay

    @property
    def descriptors(self) -> list[int]:
        forth, back = self._forth, self._back
        return [
            forth.source.fileno(), forth.target.fileno(),
            forth.pipe_out, forth.pipe_in, back.pipe_out, back.pipe_in,
        ]  # fmt: skip

    def start(self) -> None:
        for direction in (self._forth, self._back):
            self._loop.add_reader(direction.source, self._pump, direction)
        for direction in (self._forth, self._back):
            if not self.closed and direction.inside:
                self._pump(direction)

    def _pump(self, d: _Direction) -> None:
        """Move what there is; stop at an empty source, a full target, the end, or for the others' sake."""
        try:
            for _ in range(ROUNDS):
                if not d.inside:
                    d.inside = os.splice(d.source.fileno(), d.pipe_in, CHUNK, flags=_FLAGS)
                    if not d.inside:
                        self._end(d)
                        return
                try:
                    d.inside -= os.splice(d.pipe_out, d.target.fileno(), d.inside, flags=_FLAGS)
                except BlockingIOError:
                    self._block(d)
                    return
        except BlockingIOError:
            pass  # the source is empty
        except OSError:
            self.close(reset=True)
            return
        if d.blocked:
            self._unblock(d)

    def _block(self, d: _Direction) -> None:
        """The target is full: read no more, wait until it takes something."""
        if not d.blocked:
            d.blocked = True
            self._loop.remove_reader(d.source)
            self._loop.add_writer(d.target, self._pump, d)

    def _unblock(self, d: _Direction) -> None:
        d.blocked = False
        self._loop.remove_writer(d.target)
        self._loop.add_reader(d.source, self._pump, d)

    def _end(self, d: _Direction) -> None:
        """The source has said all it will say."""
        d.ended = True
        self._loop.remove_reader(d.source)
        if d.blocked:
            d.blocked = False
            self._loop.remove_writer(d.target)
        if self._forth.ended and self._back.ended:
            self.close()
            return
        try:
            d.target.shutdown(socket.SHUT_WR)
        except OSError:
            self.close(reset=True)

    def close(self, reset: bool = False) -> None:
        """End both connections; idempotent."""
        if self.closed:
            return
        self.closed = True
        for d in (self._forth, self._back):
            self._loop.remove_reader(d.source)
            self._loop.remove_writer(d.source)
            if reset:
                d.source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._on_close(self)
        for d in (self._forth, self._back):
            d.source.close()
            os.close(d.pipe_out)
            os.close(d.pipe_in)
