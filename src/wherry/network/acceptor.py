"""Takes clients from a listener while there is room for them.

Always true: a paused listener costs nothing; it goes on when the relays say that something has ended.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from wherry.network.poller import READ
from wherry.network.relays import ACCEPTS_MAX, Relays, accept


class Acceptor:
    """`ready` says whether a client can be served now; `on_client` gets each one as its own. The listener is ours."""

    def __init__(
        self,
        listener: socket.socket,
        relays: Relays,
        ready: Callable[[], bool],
        on_client: Callable[[socket.socket], None],
    ) -> None:
        self.listener = listener
        self._relays = relays
        self._ready = ready
        self._on_client = on_client
        self._watching = False
        self._stopped = True

    def start(self) -> None:
        self._stopped = False
        self._resume()

    def _resume(self) -> None:
        if not self._stopped and not self._watching:
            self._watching = True
            self._relays.poller.watch(self.listener.fileno(), READ, self._readable)

    def _readable(self, _: int) -> None:
        for _ in range(ACCEPTS_MAX):
            if not self._relays.has_room or not self._ready():
                self._pause()
                return
            client = accept(self.listener)
            if client is None:
                return
            self._on_client(client)

    def _pause(self) -> None:
        self._watching = False
        self._relays.poller.forget(self.listener.fileno())
        self._relays.when_room(self._resume)

    def stop(self) -> None:
        """Take no more clients; the listener stays open, and they wait in it."""
        self._stopped = True
        if self._watching:
            self._watching = False
            self._relays.poller.forget(self.listener.fileno())
