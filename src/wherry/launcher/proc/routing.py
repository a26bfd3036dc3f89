"""Where a connection or a datagram really goes: pure but for looking up ports.

127.0.0.1 of a pod                     what it listens on itself, on its loopback or on all addresses
an address of the pod range            what that pod listens on, on its address or on all
an address of a Service, or of Wherry  an endpoint, at random, or by the client's address if the Service asks for that
the node's own address                 the machine's 127.0.0.1, as in the other tiers
anything else                          there, by the machine's own network
"""

from __future__ import annotations

import errno
import ipaddress
import random
import socket
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from wherry.launcher.proc.addresses import Address, Block, text_of
from wherry.launcher.proc.detours import Detours
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.outcomes import Refusal
from wherry.launcher.proc.ports import OWN, UDP, Place, Ports, changes, real

LOOPBACK = b"\x7f\0\0\1"

EPHEMERAL_PORT_FIRST = 32768  # net.ipv4.ip_local_port_range, as Linux begins

Entry = tuple[bool, Sequence[Sequence[Any]]]
"""Whether it is sticky, and [[ip, port], ...]."""


class Services:
    """What addresses of Services lead to. Kept by key, so that one changes without the others."""

    def __init__(self) -> None:
        self._by_key: dict[str, list[tuple[str, str, int]]] = {}
        self._table: dict[tuple[str, str, int], Entry] = {}

    def replace(self, services: Mapping[str, Any]) -> None:
        self._by_key.clear()
        self._table.clear()
        self.change(services)

    def change(self, services: Mapping[str, Any]) -> None:
        """`{"shop/cart": [[ip, "tcp", port, sticky, [[ip, port], ...]], ...]}`; None: it is gone."""
        for key, entries in services.items():
            for place in self._by_key.pop(key, []):
                self._table.pop(place, None)
            for ip, protocol, port, sticky, backends in entries or ():
                self._by_key.setdefault(key, []).append((ip, protocol, port))
                self._table[ip, protocol, port] = (sticky, backends)

    def find(self, ip: str, protocol: str, port: int) -> Entry | None:
        return self._table.get((ip, protocol, port))


KNOWN_MAX = 4096


class Routing:
    """`services` may change at any time.

    Where something led is kept until anything changes: looking it up takes as long as half of a connection."""

    def __init__(self, block: Block, ports: Ports, rng: random.Random) -> None:
        self.block = block
        self.ports = ports
        self.services = Services()
        self.detours = Detours()
        self._range = (0, 1)  # nothing
        self._rng = rng
        self._known: dict[tuple[str, Address, str, int], Address | None] = {}
        self._changes = changes[0]

    def set_services(self, message: Mapping[str, Any]) -> None:
        """`replace`, `services`, and the `range` of their addresses."""
        network = ipaddress.IPv4Network(message["range"])
        self._range = (int(network.netmask), int(network.network_address))
        (self.services.replace if message["replace"] else self.services.change)(message["services"])
        self._known.clear()

    def set_detours(self, entries: Sequence[Sequence[Any]]) -> None:
        """See `Detours.set`."""
        self.detours.set(entries)
        self._known.clear()

    def route(self, guest: Guest, to: Address, protocol: str) -> Address | None:
        """The real address; None: as it is. Raises Refusal."""
        entry = self.services.find(text_of(to.ip), protocol, to.port) if len(to.ip) == 4 else None
        choice = 0 if entry is None else self._choose(guest, entry)
        if self._changes != changes[0]:
            self._changes = changes[0]
            self._known.clear()
        key = guest.ip, to, protocol, choice
        try:
            return self._known[key]
        except KeyError:
            found = self._route(guest, to, protocol, entry, choice)
        if self.detours and found is not None:
            found = found.at(*self.detours.via(guest.ip, protocol, (found.ip, found.port)))
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[key] = found
        return found

    def _route(self, guest: Guest, to: Address, protocol: str, entry: Entry | None, choice: int) -> Address | None:
        ip = to.ip
        if len(ip) == 16:
            return None
        if ip[0] == 127 or ip == b"\0\0\0\0":
            return self._loopback(guest, to, protocol)
        if ip[:2] == self.block.pods and ip != self.block.gateway:
            return to.at(*self._pod(ip, to.port, protocol))
        if entry is not None:
            return to.at(*self._backend(entry, choice, protocol))
        text = text_of(ip)
        if ip == self.block.gateway:
            return to.at(*self._pod(ip, to.port, protocol))
        if int.from_bytes(ip) & self._range[0] == self._range[1] or self.ports.exists(text):
            return to.at(*self._listening(text, to.port, protocol))
        return None

    def shown(self, guest: Guest, protocol: str, ip: bytes, port: int) -> tuple[bytes, int] | None:
        """A real address as the pods know it; None: as it is."""
        place = text_of(ip), port
        if self.block.is_private(ip):
            return LOOPBACK, self.ports.reverse(guest.ip, protocol, place, OWN) or port
        pod = self.block.pod(ip)
        if pod is None:
            return None
        behind = self.detours.port(protocol, ip, port) if self.detours else None
        return pod, behind or self.ports.reverse(text_of(pod), protocol, place) or port

    def _loopback(self, guest: Guest, to: Address, protocol: str) -> Address | None:
        pod = self.block.pod(to.ip)
        if pod is not None:  # somebody answers whom it heard from
            return to.at(*self._pod(pod, to.port, protocol))
        if not guest.ip:
            return None
        if self.block.is_private(to.ip):
            raise Refusal(errno.ECONNREFUSED)
        own = self.ports.find(guest.ip, protocol, to.port, OWN) or self.ports.find(guest.ip, protocol, to.port)
        return to.at(*self._or_refuse(own))

    def _pod(self, ip: bytes, port: int, protocol: str) -> tuple[bytes, int]:
        if ip == self.block.gateway:
            own = self.ports.find(text_of(ip), protocol, port)
            return real(own) if own else (LOOPBACK, port)
        return self._listening(text_of(ip), port, protocol)

    def _listening(self, ip: str, port: int, protocol: str) -> tuple[bytes, int]:
        found = self.ports.find(ip, protocol, port)
        if found is not None:
            return real(found)
        if not self.ports.exists(ip):
            raise Refusal(errno.EHOSTUNREACH if ip.startswith(self._pod_prefix) else errno.ECONNREFUSED)
        if protocol == UDP and port >= EPHEMERAL_PORT_FIRST:
            # An answer to a client, whose port the kernel chose when it connected.
            return self.block.shared(socket.inet_aton(ip)), port
        raise Refusal(errno.ECONNREFUSED)

    @property
    def _pod_prefix(self) -> str:
        return f"{self.block.pods[0]}.{self.block.pods[1]}."

    def _or_refuse(self, place: Place | None) -> tuple[bytes, int]:
        if place is None:
            raise Refusal(errno.ECONNREFUSED)
        return real(place)

    def _choose(self, guest: Guest, entry: Entry) -> int:
        """The number of a backend; 0 without any."""
        sticky, backends = entry
        if sticky and backends:
            return zlib.crc32(guest.packed) % len(backends)
        return int(self._rng.random() * len(backends))

    def _backend(self, entry: Entry, choice: int, protocol: str) -> tuple[bytes, int]:
        _, backends = entry
        if not backends:
            raise Refusal(errno.ECONNREFUSED)
        ip, port = backends[choice]
        packed = socket.inet_aton(ip)
        return self._pod(packed, port, protocol) if packed[:2] == self.block.pods else (packed, port)
