"""Pods' connections to what lies outside the pod network: dialled again from the machine, with its routes and its names.

Is: the listener that the `redirect` rule leads to. Is not: for datagrams (DNS has its own way out; other UDP is refused by
the rules). Where a connection goes:
    the gateway's address (`host.wherry.internal`) -> the machine's own 127.0.0.1, then ::1: what listens on `localhost`
    a service's address                            -> the endpoints of that service that are not pods
    anything else                                  -> there
A pod's connect() succeeds before ours has; when ours fails the pod's connection is reset.
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterable

from wherry.network.acceptor import Acceptor
from wherry.network.dial import Address
from wherry.network.nftables import NodeNetwork, within
from wherry.network.relays import Relays, refuse
from wherry.network.services import Backend, ServiceRecord

_SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h


class Egress:
    """Serves `listener`, a socket of the node's network, with the machine's own sockets."""

    def __init__(self, listener: socket.socket, relays: Relays, network: NodeNetwork, rng: random.Random) -> None:
        self._network = network
        self._relays = relays
        self._rng = rng
        self._services: dict[Address, tuple[Backend, ...]] = {}
        self._acceptor = Acceptor(listener, relays, lambda: True, self._connect)

    def update(self, services: Iterable[ServiceRecord]) -> None:
        """Learn which services have endpoints outside."""
        self._services = outside(services, self._network)

    def start(self) -> None:
        self._acceptor.start()

    def stop(self) -> None:
        self._acceptor.stop()

    def _connect(self, client: socket.socket) -> None:
        destination = _original(client)
        addresses = self.addresses(destination) if destination else []
        if addresses:
            self._relays.connect(client, addresses, _host_socket)
        else:
            refuse(client)

    def addresses(self, destination: Address) -> list[Address]:
        """Where to dial for a connection that was meant for `destination`; nowhere if it was meant for us."""
        ip, port = destination
        if ip == self._network.gateway:
            return [] if port == self._network.egress_port else [("127.0.0.1", port), ("::1", port)]
        backends = self._services.get(destination)
        if backends is not None:
            return [(backend.ip, backend.port) for backend in self._rng.sample(backends, len(backends))]
        return [] if within(ip, self._network.services) or within(ip, self._network.pods) else [destination]


def outside(services: Iterable[ServiceRecord], network: NodeNetwork) -> dict[Address, tuple[Backend, ...]]:
    """(address, port) of services -> their TCP endpoints that are not pods."""
    found: dict[Address, tuple[Backend, ...]] = {}
    for record in services:
        for port in record.ports:
            backends = tuple(b for b in port.backends if not within(b.ip, network.pods) or b.ip == network.gateway)
            if not backends or port.protocol != "TCP":
                continue
            for ip in (record.cluster_ip, *record.addresses):
                found[ip, port.port] = backends
            if port.node_port:
                for ip in network.node_addresses:
                    found[ip, port.node_port] = backends
    return found


def _original(client: socket.socket) -> Address | None:
    """Where the pod meant to connect; None for one that came to us directly."""
    try:
        data = client.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16)
    except OSError:
        return None
    port, packed = struct.unpack_from(">2xH4s", data)
    return socket.inet_ntoa(packed), port


def _host_socket(address: Address) -> socket.socket | None:
    try:
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return None  # no descriptors, or a machine without IPv6
    sock.setblocking(False)
    return sock
