"""NodePorts on the machine itself: listeners of the host, connections to pods out of the node's network.

Is: TCP. Is not: a path through the service's cluster address: the endpoint is chosen here, so that one that refuses is
followed by the next. Differs from kube-proxy, and says so: pods see the node's gateway address as the client; a service
without endpoints resets the connection instead of refusing it (the port stays ours); UDP node ports are answered inside
the pod network only.
Always true: a listener has a second holder, so while netd is restarted clients wait instead of being refused.
"""

from __future__ import annotations

import logging
import os
import random
import socket
from collections.abc import Iterable, Mapping

from wherry.network import slots
from wherry.network.acceptor import Acceptor
from wherry.network.keeper import Keeper
from wherry.network.places import Where, as_named
from wherry.network.relays import Relays, refuse
from wherry.network.services import Backend, ServiceRecord
from wherry.network.socket_pool import SocketPool

log = logging.getLogger(__name__)

PREFIX = "listen/"
BACKLOG = 1024


class Target:
    """Where the connections of one node port go."""

    __slots__ = ("backends", "service", "sticky")

    def __init__(self, service: str, backends: tuple[Backend, ...], sticky: bool) -> None:
        self.service = service
        self.backends = backends
        self.sticky = sticky


def wanted(services: Iterable[ServiceRecord]) -> dict[int, Target]:
    """The TCP node ports of all services."""
    return {
        port.node_port: Target(record.key, port.through_node, record.sticky)
        for record in services
        for port in record.ports
        if port.node_port and port.protocol == "TCP"
    }


class NodePorts:
    """The listeners. They outlive a session with the launcher: `attach` begins one, `detach` ends it."""

    def __init__(self, addresses: tuple[str, ...], rng: random.Random) -> None:
        self._addresses = addresses
        self._rng = rng
        self._targets: dict[int, Target] = {}
        self._listeners: dict[tuple[str, int], socket.socket] = {}
        self._acceptors: dict[tuple[str, int], Acceptor] = {}
        self._session: tuple[Relays, SocketPool, Keeper] | None = None
        self._where: Where = as_named
        self.failures: dict[str, str] = {}
        """`30080` -> why nobody listens there."""

    @property
    def attached(self) -> bool:
        return self._session is not None

    def update(self, services: Iterable[ServiceRecord]) -> None:
        """Listen on exactly the ports these services have."""
        self._targets = wanted(services)
        if self._session is not None:
            self._listen_as_wanted()

    def attach(
        self, relays: Relays, pool: SocketPool, keeper: Keeper, held: Mapping[str, list[int]], where: Where = as_named
    ) -> None:
        """Serve with these; `held` are listeners of the process before us, `where` says where pods really are."""
        self._session = (relays, pool, keeper)
        self._where = where
        for name, fds in held.items():
            self._adopt(name, fds)
        self._listen_as_wanted()
        for place in self._listeners:
            self._hold(place)

    def _listen_as_wanted(self) -> None:
        places = {(address, port) for port in self._targets for address in self._addresses}
        for place in [place for place in self._listeners if place not in places]:
            self._close(place)
        self.failures = {}
        for place in sorted(places - self._listeners.keys()):
            try:
                self._listeners[place] = _listen(*place)
            except OSError as error:
                address, port = place
                why = f"cannot listen on {address}:{port}: {os.strerror(error.errno or 0)}"
                self.failures[str(port)] = why
                log.warning("%s: %s", self._targets[port].service, why)
            else:
                self._hold(place)

    def detach(self) -> None:
        """Clients wait until the next session."""
        self._session = None
        for acceptor in self._acceptors.values():
            acceptor.stop()
        self._acceptors.clear()

    def close(self) -> None:
        self.detach()
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def _adopt(self, name: str, fds: list[int]) -> None:
        """Instead of a listener of our own, which could not be bound while the old one lives."""
        assert self._session is not None
        address, _, port = name.removeprefix(PREFIX).rpartition("/")
        place = (address, int(port))
        socks = [socket.socket(fileno=fd) for fd in fds]
        is_wanted = int(port) in self._targets and address in self._addresses and _listens(socks[0])
        if place in self._listeners or not is_wanted:
            if place not in self._listeners:
                self._session[2].drop(name)
                for sock in socks:
                    _end(sock)
            for sock in socks:
                sock.close()
            return
        self._listeners[place] = socks[0]

    def _hold(self, place: tuple[str, int]) -> None:
        """Have the listener kept, and serve it."""
        if self._session is None or place in self._acceptors:
            return
        relays, pool, keeper = self._session
        listener = self._listeners[place]
        keeper.put(_name(place), [listener.fileno()])
        port = place[1]
        acceptor = Acceptor(listener, relays, lambda: len(pool) > 0, lambda client: self._connect(port, client))
        self._acceptors[place] = acceptor
        acceptor.start()

    def _connect(self, port: int, client: socket.socket) -> None:
        assert self._session is not None
        relays, pool, _ = self._session
        target = self._targets[port]
        if not target.backends:
            refuse(client)
            return
        order = self._rng.sample(target.backends, len(target.backends))
        if target.sticky:
            try:
                favourite = slots.favourite(client.getpeername()[0], order)
            except OSError:
                client.close()  # it has gone already
                return
            order.sort(key=lambda backend: backend != favourite)
        relays.connect(client, [self._where(backend) for backend in order], lambda _: pool.take())

    def _close(self, place: tuple[str, int]) -> None:
        acceptor = self._acceptors.pop(place, None)
        if acceptor is not None:
            acceptor.stop()
        if self._session is not None:
            self._session[2].drop(_name(place))
        listener = self._listeners.pop(place)
        _end(listener)
        listener.close()


def _end(listener: socket.socket) -> None:
    """End the listening of the launcher's duplicate too, at once: the port is free before it is dropped."""
    try:
        listener.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _listens(sock: socket.socket) -> bool:
    """Not one that was ended by a netd that was killed before the launcher had dropped it."""
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _name(place: tuple[str, int]) -> str:
    return f"{PREFIX}{place[0]}/{place[1]}"


def _listen(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
