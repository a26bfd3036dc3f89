"""One proxied connection: bytes from client to backend and back by splice(2), never through our memory.

Is: callbacks of a poller, nothing while nothing flows. Is not: a dialer (`dial.py`) or a listener.
Always true: what has left a socket is in one of the two pipes until the other socket has taken it; so another process
that holds the six descriptors (`descriptors`) can go on where this one was killed. The end of one direction is passed on
as a half-close; an error of one side resets the other.
"""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Callable, Sequence

from wherry.network.poller import READ, WRITE, Poller

CHUNK = 1 << 20
"""Asked for at once; a pipe takes 64 KiB of it."""
SHORT = 16 * 1024
"""Less than this at once is a message, not a stream."""
ROUNDS = 16
"""Pipefuls moved before other connections get their turn."""
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends a reset


class _Direction:
    """One pipe and the two sockets it joins."""

    __slots__ = ("blocked", "ended", "inside", "pipe_in", "pipe_out", "source", "target")

    def __init__(self, source: int, target: int, pipe: tuple[int, int]) -> None:
        self.source = source
        self.target = target
        self.pipe_out, self.pipe_in = pipe
        self.inside = 0
        self.blocked = False
        """The target takes no more: what it has not taken lies in the pipe, and the source is not read."""
        self.ended = False

    def count(self) -> None:
        """Learn what lies in a pipe that somebody else filled."""
        size = array.array("i", [0])
        fcntl.ioctl(self.pipe_out, termios.FIONREAD, size)
        self.inside = size[0]


class Relay:
    """Between two connected, non-blocking stream sockets, which it owns. `on_close` is called once, at its end."""

    __slots__ = ("_back", "_backend", "_client", "_forth", "_on_close", "_poller", "closed", "name")

    def __init__(
        self,
        name: str,
        client: socket.socket,
        backend: socket.socket,
        pipes: tuple[tuple[int, int], tuple[int, int]],
        poller: Poller,
        on_close: Callable[[Relay], None],
    ) -> None:
        self.name = name
        self.closed = False
        self._client = client
        self._backend = backend
        self._forth = _Direction(client.fileno(), backend.fileno(), pipes[0])
        self._back = _Direction(backend.fileno(), client.fileno(), pipes[1])
        self._poller = poller
        self._on_close = on_close

    @classmethod
    def between(
        cls,
        name: str,
        client: socket.socket,
        backend: socket.socket,
        poller: Poller,
        on_close: Callable[[Relay], None],
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
        return cls(name, client, backend, (first, second), poller, on_close)

    @classmethod
    def restore(cls, name: str, fds: Sequence[int], poller: Poller, on_close: Callable[[Relay], None]) -> Relay:
        """Go on with the six descriptors of `descriptors`, which it owns from now on."""
        client, backend = (socket.socket(fileno=fd) for fd in fds[:2])
        relay = cls(name, client, backend, ((fds[2], fds[3]), (fds[4], fds[5])), poller, on_close)
        relay._forth.count()
        relay._back.count()
        return relay

    @property
    def descriptors(self) -> list[int]:
        forth, back = self._forth, self._back
        return [forth.source, back.source, forth.pipe_out, forth.pipe_in, back.pipe_out, back.pipe_in]

    def start(self) -> None:
        self._watch(self._forth, self._back)
        self._watch(self._back, self._forth)
        for direction, other in ((self._forth, self._back), (self._back, self._forth)):
            if not self.closed and direction.inside:
                self._pump(direction, other)

    def _watch(self, reads: _Direction, writes: _Direction) -> None:
        """Ask for what the socket that `reads` reads from and `writes` writes to can do for us now; or for nothing."""
        events = 0 if reads.blocked or reads.ended else READ
        if writes.blocked:
            events |= WRITE
        if events:
            ready = self._client_ready if reads is self._forth else self._backend_ready
            self._poller.watch(reads.source, events, ready)
        else:
            self._poller.forget(reads.source)  # a socket that has hung up would be reported again and again

    def _client_ready(self, events: int) -> None:
        self._ready(events, self._forth, self._back)

    def _backend_ready(self, events: int) -> None:
        self._ready(events, self._back, self._forth)

    def _ready(self, events: int, reads: _Direction, writes: _Direction) -> None:
        if events & ~READ and writes.blocked:
            self._pump(writes, reads)
        if events & ~WRITE and not (self.closed or reads.blocked or reads.ended):
            self._pump(reads, writes)

    def _pump(self, d: _Direction, other: _Direction) -> None:
        """Move what there is; stop at an empty source, a full target, the end, or for the others' sake."""
        try:
            for _ in range(ROUNDS):
                taken = d.inside
                if not taken:
                    taken = d.inside = os.splice(d.source, d.pipe_in, CHUNK, flags=_FLAGS)
                    if not taken:
                        self._end(d, other)
                        return
                try:
                    d.inside -= os.splice(d.pipe_out, d.target, taken, flags=_FLAGS)
                except BlockingIOError:
                    self._block(d, other, blocked=True)
                    return
                if not d.inside and taken < SHORT:
                    break  # most likely that was all: asking again would cost a call and an exception
        except BlockingIOError:
            pass  # the source is empty
        except OSError:
            self.close(reset=True)
            return
        self._block(d, other, blocked=False)

    def _block(self, d: _Direction, other: _Direction, *, blocked: bool) -> None:
        """The target is full: read no more, wait until it takes something; or it has room again."""
        if d.blocked != blocked:
            d.blocked = blocked
            self._watch(d, other)
            self._watch(other, d)

    def _end(self, d: _Direction, other: _Direction) -> None:
        """The source has said all it will say."""
        d.ended = True
        if other.ended:
            self.close()
            return
        try:
            (self._backend if d is self._forth else self._client).shutdown(socket.SHUT_WR)
        except OSError:
            self.close(reset=True)
            return
        d.blocked = False
        self._watch(d, other)
        self._watch(other, d)

    def close(self, reset: bool = False) -> None:
        """End both connections; idempotent."""
        if self.closed:
            return
        self.closed = True
        for sock in (self._client, self._backend):
            self._poller.forget(sock.fileno())
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._on_close(self)
        self._client.close()
        self._backend.close()
        for d in (self._forth, self._back):
            os.close(d.pipe_out)
            os.close(d.pipe_in)
