"""One end of a conversation inside the launcher's loop: requests in, answers and events out, never blocking.

What cannot be sent at once waits in a bounded queue; a peer that lets it overflow is cut off, because nobody here may
wait for one of many.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

from wherry.launcher import protocol
from wherry.launcher.loop import GONE, READ, WRITE, Loop
from wherry.launcher.protocol import Message

QUEUE_MESSAGES_MAX = 4096  # a subscriber that is this many events behind should list again


class Connection:
    """Owns `sock`. `on_message(connection, message, fds)` gets the descriptors as its own; `on_close` is called once."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        on_message: Callable[[Connection, Message, list[int]], None],
        on_close: Callable[[Connection], None],
    ) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._sock = sock
        self._on_message = on_message
        self._on_close = on_close
        self._queue: deque[tuple[bytes, list[int]]] = deque()
        self.closed = False
        loop.watch(sock.fileno(), READ, self._ready)

    def hand_over(
        self,
        on_message: Callable[[Connection, Message, list[int]], None],
        on_close: Callable[[Connection], None],
    ) -> None:
        """From now on these are called."""
        self._on_message, self._on_close = on_message, on_close

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send, or queue with duplicates of `fds`: the caller may close its own at once. After the end it does nothing."""
        if self.closed:
            return
        packet, _ = protocol.encode(message, fds)
        if not self._queue and self._send_now(packet, fds):
            return
        self._enqueue(packet, fds)

    def _enqueue(self, packet: bytes, fds: Sequence[int]) -> None:
        if self.closed:  # sending just found out
            return
        if len(self._queue) >= QUEUE_MESSAGES_MAX:
            self.close()
            return
        self._queue.append((packet, [os.dup(fd) for fd in fds]))
        self._loop.watch(self._sock.fileno(), READ | WRITE, self._ready)

    def _send_now(self, packet: bytes, fds: Sequence[int]) -> bool:
        try:
            protocol.send_packet(self._sock, packet, fds)
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            return False
        return True

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if not self.closed and events & (READ | GONE):
            self._read()

    def _flush(self) -> None:
        while self._queue:
            packet, fds = self._queue[0]
            if not self._send_now(packet, fds):
                return
            self._queue.popleft()
            protocol.close_fds(fds)
        self._loop.watch(self._sock.fileno(), READ, self._ready)

    def _read(self) -> None:
        try:
            received = protocol.receive(self._sock)
        except BlockingIOError:
            return
        except OSError:
            received = None
        if received is None:
            self.close()
        else:
            self._on_message(self, *received)

    def drain(self) -> None:
        """The peer has ended: hear what it still said, then close."""
        while not self.closed:
            try:
                received = protocol.receive(self._sock)
            except OSError:
                received = None
            if received is None:
                self.close()
            else:
                self._on_message(self, *received)

    def close(self) -> None:
        """Cut off. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._loop.unwatch(self._sock.fileno())
        self._sock.close()
        for _, fds in self._queue:
            protocol.close_fds(fds)
        self._queue.clear()
        self._on_close(self)
