"""All connections netd proxies now: their number has a bound, their descriptors a second holder.

Is: accept -> dial -> relay, shared by NodePorts and egress. Is not: the choice of where to dial.
Always true: while there is no room (or no socket to dial with) nothing is accepted: clients wait in the listener's
backlog, where the kernel bounds them; the end of a connection lets the next one in.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import resource
import socket
from collections.abc import Callable, Mapping, Sequence

from wherry.network.dial import Address, Dial, MakeSocket
from wherry.network.keeper import Keeper
from wherry.network.poller import Poller
from wherry.network.relay import RESET, Relay

log = logging.getLogger(__name__)

PREFIX = "relay/"
DESCRIPTORS_PER_RELAY = 6
DESCRIPTORS_SPARE = 512
"""For listeners, the socket pool, DNS and its questions to the resolvers."""
RELAYS_MAX = 8192
"""More clients than this of one machine's node ports do not wait for us but for the services behind."""
ACCEPTS_MAX = 64
"""Connections taken from one listener before others get their turn."""


def raise_file_limit() -> int:
    """Take all descriptors we may have without asking anybody; how many relays they allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = RELAYS_MAX * DESCRIPTORS_PER_RELAY + DESCRIPTORS_SPARE
    best = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if best > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (best, hard))
        soft = best
    return max(min((soft - DESCRIPTORS_SPARE) // DESCRIPTORS_PER_RELAY, RELAYS_MAX), 16)


class Relays:
    """The relays of one session with the launcher."""

    def __init__(self, keeper: Keeper, poller: Poller, limit: int) -> None:
        self.poller = poller
        self._keeper = keeper
        self._limit = limit
        self._relays: dict[str, Relay] = {}
        self._dials: dict[Dial, socket.socket] = {}
        self._paused: list[Callable[[], None]] = []
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._relays)

    @property
    def has_room(self) -> bool:
        return len(self._relays) + len(self._dials) < self._limit

    def when_room(self, resume: Callable[[], None]) -> None:
        """Call once, when a connection has ended."""
        self._paused.append(resume)

    def wake(self) -> None:
        """Let those who paused look again."""
        paused, self._paused = self._paused, []
        for resume in paused:
            resume()

    def restore(self, held: Mapping[str, Sequence[int]]) -> None:
        """Go on with the connections of the process before us."""
        for name, fds in held.items():
            if len(fds) != DESCRIPTORS_PER_RELAY:
                for fd in fds:
                    os.close(fd)
                self._keeper.drop(name)
                continue
            try:
                relay = Relay.restore(name, fds, self.poller, self._closed)
            except OSError as error:
                log.warning("a connection could not be taken over: %s", error)
                continue
            self._relays[name] = relay
            relay.start()

    def connect(self, client: socket.socket, addresses: Sequence[Address], make: MakeSocket) -> None:
        """Dial the first of `addresses` that answers and relay; the client is reset when none does. Owns `client`."""

        def dialled(backend: socket.socket | None) -> None:
            self._dials.pop(dial, None)
            if backend is None:
                refuse(client)
                self.wake()
            else:
                self._join(client, backend)

        dial = Dial(addresses, make, self.poller, dialled)
        self._dials[dial] = client
        dial.start()

    def _join(self, client: socket.socket, backend: socket.socket) -> None:
        name = next(name for n in self._numbers if (name := f"{PREFIX}{os.getpid()}-{n}") not in self._relays)
        try:
            relay = Relay.between(name, client, backend, self.poller, self._closed)
        except OSError as error:
            log.warning("a connection was refused: %s", error)
            refuse(client)
            backend.close()
            return
        self._relays[name] = relay
        self._keeper.put(name, relay.descriptors)
        relay.start()

    def _closed(self, relay: Relay) -> None:
        del self._relays[relay.name]
        self._keeper.drop(relay.name)
        if self._paused:
            self.wake()

    def close(self) -> None:
        """The pods have gone with their launcher: end everything."""
        self._paused.clear()
        for dial, client in self._dials.items():
            dial.cancel()
            refuse(client)
        self._dials.clear()
        for relay in list(self._relays.values()):
            relay.close(reset=True)


def refuse(client: socket.socket) -> None:
    """As near to `connection refused` as an accepted connection can get: a reset."""
    try:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    except OSError:
        pass
    client.close()


def accept(listener: socket.socket) -> socket.socket | None:
    """The next client, non-blocking; None when there is none (any more), or no descriptor for it."""
    while True:
        try:
            client, _ = listener.accept()
        except OSError as error:
            if error.errno in (errno.ECONNABORTED, errno.EPROTO):
                continue  # it gave up while it waited
            return None
        client.setblocking(False)
        return client
