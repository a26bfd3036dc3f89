"""bind, connect and sendto of sockets of which there is no duplicate: the address is replaced in the caller's memory, and the
kernel goes on; of getsockname and getpeername the answer is. The same for programs that mean well, and no barrier for others.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import OrderedDict

from wherry.launcher.proc.addresses import (
    FAMILY_4,
    SOCKADDR_4_BYTES,
    SOCKADDR_6_BYTES,
    SOCKADDR_BYTES_MAX,
    WILDCARD,
    Address,
    Block,
    decode,
)
from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.outcomes import Refusal
from wherry.launcher.proc.ports import ANY, OWN, TCP, UDP
from wherry.launcher.proc.routing import Routing
from wherry.launcher.proc.unix_calls import UnixCalls
from wherry.launcher.proc.unix_names import ADDRESS_BYTES_MAX

_PROTOCOLS = {b"TCP": TCP, b"TCPv6": TCP, b"MPTCP": TCP, b"MPTCPv6": TCP, b"UDP": UDP, b"UDPv6": UDP}
_UNIX = b"UNIX"  # UNIX-STREAM too
REWRITTEN_MAX = 4096
"""Addresses rewritten in callers' memory that are remembered, so that a second try starts from what was meant."""


class Rewriting:
    """They raise OSError, Refusal and GoneError; `connect` and `bind` answer unless they raise."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self._rewritten: OrderedDict[tuple[str, int, bytes], bytes] = OrderedDict()

    def connect(self, caller: Caller, guest: Guest) -> None:
        """The address becomes the real one, and the kernel goes on."""
        self.rewrite(caller, guest, caller.arguments[1], caller.arguments[2])
        caller.proceed()

    def rewrite(self, caller: Caller, guest: Guest, address: int, length: int) -> None:
        """An address in the caller's memory becomes the real one, where the call's socket is of TCP or UDP; answers nothing."""
        to = decode(self._meant(caller, guest, address, length))
        if to is not None:
            protocol = named_protocol(caller)
            real = self._routing.route(guest, to, protocol) if protocol else None
            if real is not None:
                self._replace(caller, guest, address, to.encode(), real.encode())

    def bind(self, caller: Caller, guest: Guest) -> None:
        """An address of IPv4 becomes the pod's real one at a port that can be had there, which is recorded: whether the kernel
        then binds the socket is not known here. A client's that sends datagrams stays as it is."""
        address = caller.arguments[1]
        wanted = decode(self._meant(caller, guest, address, caller.arguments[2]))
        protocol = named_protocol(caller)
        if wanted is None or not guest.ip or len(wanted.ip) == 16 or not protocol:
            caller.proceed()
            return
        if protocol == UDP and wanted.port == 0 and wanted.ip == WILDCARD:
            caller.proceed()  # a client: it must be able to send to the world, which a loopback address cannot
            return
        ip, scope = own_place(self._routing.block, guest, wanted)
        known = self._routing.ports.find(guest.ip, protocol, wanted.port, scope) if wanted.port else None
        port = known[1] if known else _free_port(socket.inet_ntoa(ip), wanted.port, protocol)
        self._replace(caller, guest, address, wanted.encode(), wanted.at(ip, port).encode())
        place = socket.inet_ntoa(ip), port
        self._routing.ports.record(guest.ip, protocol, wanted.port or port, place, scope)
        caller.proceed()

    def name(self, caller: Caller, guest: Guest, others: UnixCalls) -> None:
        """getsockname, getpeername: the kernel's answer becomes what pods know that address by, before the caller sees it."""
        protocol = named_protocol(caller)
        if not protocol and not (others.has_names(guest) and _kernels_name(caller).startswith(_UNIX)):
            caller.proceed()
            return
        address, length = caller.arguments[1:3]
        room = struct.unpack("=i", caller.read(length, 4).ljust(4, b"\0"))[0]

        def change_path(answer: int) -> None:
            found = caller.peek(address, min(room, ADDRESS_BYTES_MAX)) if answer == 0 and room > 0 else b""
            said = others.name(guest, found)
            if said is not None:
                caller.poke(address, said[:room])
                caller.poke(length, struct.pack("=i", len(said)))

        def change(answer: int) -> None:
            if not protocol:
                change_path(answer)
                return
            found = decode(caller.peek(address, min(room, SOCKADDR_6_BYTES))) if answer == 0 and room > 0 else None
            shown = self._routing.shown(guest, protocol, found.ip, found.port) if found and len(found.ip) == 4 else None
            if found is not None and shown is not None:
                caller.poke(address, found.at(*shown).encode()[:room])

        if not caller.afterwards(change):
            caller.proceed()

    def _meant(self, caller: Caller, guest: Guest, address: int, length: int) -> bytes:
        """What the program wrote there, even if we have replaced it before; a fork of it has what we wrote too."""
        raw = caller.read(address, min(length, SOCKADDR_BYTES_MAX))
        size = SOCKADDR_4_BYTES if raw[:2] == FAMILY_4 else SOCKADDR_6_BYTES
        return self._rewritten.get((guest.container, address, raw[:size]), raw)

    def _replace(self, caller: Caller, guest: Guest, address: int, meant: bytes, real: bytes) -> None:
        caller.write(address, real)
        self._rewritten[guest.container, address, real] = meant
        while len(self._rewritten) > REWRITTEN_MAX:
            self._rewritten.popitem(last=False)


def own_place(block: Block, guest: Guest, wanted: Address) -> tuple[bytes, str]:
    """Where a pod's own address really is, and for whom. Raises Refusal."""
    if wanted.ip in (WILDCARD, guest.packed, block.shared(guest.packed)):
        return block.shared(guest.packed), ANY
    if wanted.ip == block.private(guest.packed):
        return wanted.ip, OWN
    if wanted.ip[0] == 127 and block.pod(wanted.ip) is None and not block.is_private(wanted.ip):
        return block.private(guest.packed), OWN
    raise Refusal(errno.EADDRNOTAVAIL)


def named_protocol(caller: Caller) -> str:
    """Of the socket in the call's first argument, as its inode says it; empty for other kinds than TCP and UDP."""
    return _PROTOCOLS.get(_kernels_name(caller), "")


def _kernels_name(caller: Caller) -> bytes:
    link = f"/proc/{caller.thread}/fd/{caller.arguments[0] & 0xFFFFFFFF}"
    try:
        return os.getxattr(link, "system.sockprotoname").rstrip(b"\0")
    except OSError:  # no socket: the kernel says what it is
        return b""


def _free_port(ip: str, wanted: int, protocol: str) -> int:
    """`wanted` if it can be had there, else one that can; another process may take it first."""
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if protocol == UDP else socket.SOCK_STREAM) as probe:
            if protocol == TCP:  # for datagrams it would mean that both get them
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ip, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Refusal(errno.EADDRINUSE)
