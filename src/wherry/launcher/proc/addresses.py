"""Where a pod's addresses really are: the machine's loopback network, which has room for all of them.

    10.244.a.b          127.X.a.b       what listens on the pod's address, or on all of them
    127.0.0.1 of a pod  127.X+1.a.b     what listens on the pod's own loopback only

X belongs to one Wherry system (a hash of its state directory), so that several on a machine rarely meet. Pure.
"""

from __future__ import annotations

import socket
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

_FIRST, _COUNT = 64, 94  # 127.64 … 127.251: clear of 127.0 (localhost, 127.0.0.53) and of 127.255

MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96
IPV6_ANY, IPV6_LOOPBACK = bytes(16), bytes(15) + b"\1"
WILDCARD = bytes(4)  # 0.0.0.0
SOCKADDR_BYTES_MAX, SOCKADDR_4_BYTES, SOCKADDR_6_BYTES = 128, 16, 28
"""Of struct sockaddr_storage, sockaddr_in and sockaddr_in6."""
FAMILY_4 = struct.pack("=H", socket.AF_INET)
"""How an address of IPv4 begins."""

text_of = lru_cache(maxsize=4096)(socket.inet_ntoa)
"""An IPv4 address as text. Kept: every connection asks for several."""


@dataclass(frozen=True, slots=True)
class Block:
    """`second` is X; `pods` are the first two bytes of the pod range, `gateway` the node's own address in it."""

    second: int
    pods: bytes
    gateway: bytes

    @classmethod
    def of(cls, state: str, gateway: str) -> Block:
        packed = socket.inet_aton(gateway)
        return cls(_FIRST + 2 * (zlib.crc32(state.encode()) % _COUNT), packed[:2], packed)

    def shared(self, ip: bytes) -> bytes:
        """Where everybody reaches the pod `ip`."""
        return bytes((127, self.second)) + ip[2:]

    def private(self, ip: bytes) -> bytes:
        """Where only the pod itself does."""
        return bytes((127, self.second + 1)) + ip[2:]

    def node(self) -> bytes:
        """Where Wherry's own servers listen."""
        return self.shared(self.gateway)

    def pod(self, real: bytes) -> bytes | None:
        """The pod address whose shared place `real` is."""
        return self.pods + real[2:] if real[0] == 127 and real[1] == self.second else None

    def is_private(self, real: bytes) -> bool:
        return real[0] == 127 and real[1] == self.second + 1


class Address(NamedTuple):
    """A socket address. `ip` has 4 bytes; a family of 10 with 4 bytes is IPv4 in IPv6's clothes."""

    family: int
    ip: bytes
    port: int

    def encode(self) -> bytes:
        """As struct sockaddr_in or sockaddr_in6."""
        if self.family == socket.AF_INET:
            return FAMILY_4 + self.port.to_bytes(2) + self.ip + bytes(8)
        ip = self.ip if len(self.ip) == 16 else MAPPED + self.ip
        return struct.pack("=H", socket.AF_INET6) + struct.pack(">HI", self.port, 0) + ip + bytes(4)

    def python(self) -> tuple[str, int]:
        """As the socket module wants it."""
        if self.family == socket.AF_INET:
            return text_of(self.ip), self.port
        ip = self.ip if len(self.ip) == 16 else MAPPED + self.ip
        return socket.inet_ntop(socket.AF_INET6, ip), self.port

    def at(self, ip: bytes, port: int) -> Address:
        return Address(self.family, ip, port)


@lru_cache(maxsize=1024)
def decode(raw: bytes) -> Address | None:
    """None for what is no address of IPv4 or IPv6. `::1` and `::` become their IPv4 likes: a pod has no other IPv6."""
    if len(raw) < SOCKADDR_4_BYTES:
        return None
    family = raw[0] | raw[1] << 8
    port = raw[2] << 8 | raw[3]
    if family == socket.AF_INET:
        return Address(family, raw[4:8], port)
    if family != socket.AF_INET6 or len(raw) < 24:
        return None
    ip = raw[8:24]
    if ip[:12] == MAPPED:
        return Address(family, ip[12:], port)
    if ip == IPV6_ANY:
        return Address(family, WILDCARD, port)
    if ip == IPV6_LOOPBACK:
        return Address(family, b"\x7f\0\0\1", port)
    return Address(family, ip, port)
