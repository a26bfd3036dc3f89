"""Connect to one of several places, by callbacks: the first that answers wins, tried one after the other.

Is: what netd does between accepting a connection and relaying it. Always true: `on_end` is called exactly once, with a
connected socket or with None; a place that does not answer is given up after CONNECT_SECONDS.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence

from wherry.network.poller import WRITE, Poller

CONNECT_SECONDS = 5.0
"""Long enough for two lost SYNs, short enough that the next place still helps the client."""
TRIES_MAX = 4

Address = tuple[str, int]
MakeSocket = Callable[[Address], socket.socket | None]
"""A fresh non-blocking socket for an address; None when there is none to be had."""


class Dial:
    """One attempt at `addresses`, from the first on. A constructor starts nothing: `start` does."""

    __slots__ = ("_addresses", "_loop", "_make", "_on_end", "_poller", "_sock", "_timer", "_tried")

    def __init__(
        self,
        addresses: Sequence[Address],
        make: MakeSocket,
        poller: Poller,
        on_end: Callable[[socket.socket | None], None],
    ) -> None:
        self._addresses = addresses[:TRIES_MAX]
        self._make = make
        self._poller = poller
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._tried = 0
        self._sock: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Try the next place, or end."""
        while self._tried < len(self._addresses):
            address = self._addresses[self._tried]
            self._tried += 1
            sock = self._make(address)
            if sock is None:
                break
            code = sock.connect_ex(address)
            if code == 0:
                self._on_end(sock)
                return
            if code == errno.EINPROGRESS:
                self._sock = sock
                self._poller.watch(sock.fileno(), WRITE, self._writable)
                self._timer = self._loop.call_later(CONNECT_SECONDS, self._give_up)
                return
            sock.close()
        self._on_end(None)

    def _writable(self, _: int) -> None:
        sock = self._forget()
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            self._on_end(sock)
            return
        sock.close()
        self.start()

    def _give_up(self) -> None:
        self._forget().close()
        self.start()

    def cancel(self) -> None:
        """End without calling anybody."""
        if self._sock is not None:
            self._forget().close()

    def _forget(self) -> socket.socket:
        assert self._sock is not None
        assert self._timer is not None
        sock, self._sock = self._sock, None
        self._timer.cancel()
        self._poller.forget(sock.fileno())
        return sock
