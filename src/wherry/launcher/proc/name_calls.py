"""getsockname and getpeername: what a socket's ends are called by the pods, not where they really are.

Of sockets of which there is no duplicate it is what held.py remembered, or the kernel's answer as rewriting.py changes it.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable

from wherry.launcher.proc.addresses import WILDCARD, Address
from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.held import Handler, Held
from wherry.launcher.proc.notify import NETWORK
from wherry.launcher.proc.outcomes import Refusal
from wherry.launcher.proc.ports import TCP, protocol_of
from wherry.launcher.proc.rewriting import Rewriting
from wherry.launcher.proc.routing import Routing
from wherry.launcher.proc.unix_calls import UnixCalls, unix_address


class NameCalls:
    """`handlers` by number. They raise OSError, Refusal and GoneError, and answer unless they raise."""

    def __init__(self, routing: Routing, rewriting: Rewriting, others: UnixCalls, held: Held | None) -> None:
        """`held`: where duplicates of sockets may not be taken."""
        self._routing = routing
        self._rewriting = rewriting
        self._others = others
        self._held = held
        local: Handler = self._getsockname
        peer: Handler = self._getpeername
        if held is not None:
            local = held.first(local, self._getsockname_remembered)
            peer = held.first(peer, self._getpeername_remembered)
        self.handlers = {NETWORK["getsockname"]: local, NETWORK["getpeername"]: peer}

    # on a duplicate of the socket

    def _getsockname(self, caller: Caller, guest: Guest) -> None:
        self._name(caller, guest, lambda sock: sock.getsockname())

    def _getpeername(self, caller: Caller, guest: Guest) -> None:
        self._name(caller, guest, lambda sock: sock.getpeername())

    def _name(self, caller: Caller, guest: Guest, ask: Callable[[socket.socket], object]) -> None:
        """A real address as the pods know it; whatever is none is the kernel's to tell."""
        with caller.socket() as sock:
            if sock.family == socket.AF_UNIX and self._others.has_names(guest):
                name = ask(sock)
                path = name if isinstance(name, bytes) else os.fsencode(str(name))
                self._tell_data(caller, self._others.name(guest, unix_address(path)))
                return
            if sock.family not in (socket.AF_INET, socket.AF_INET6):
                caller.proceed()
                return
            name = ask(sock)
            assert isinstance(name, tuple)
            ip = _packed(name[0])
            shown = self._shown(guest, sock, ip, name[1]) if ip is not None else None
            family = sock.family
        self._tell(caller, family, shown)

    def _tell(self, caller: Caller, family: int, shown: tuple[bytes, int] | None) -> None:
        data = None if shown is None else Address(family, *shown).encode()
        if shown is not None and family == socket.AF_INET6 and shown[0] == WILDCARD:
            data = Address(family, bytes(16), shown[1]).encode()
        self._tell_data(caller, data)

    @staticmethod
    def _tell_data(caller: Caller, data: bytes | None) -> None:
        """The answer of getsockname or getpeername; None: the kernel's own."""
        if data is None:
            caller.proceed()
            return
        room = struct.unpack("=i", caller.read(caller.arguments[2], 4))[0]
        if room < 0:
            raise Refusal(errno.EINVAL)
        caller.write(caller.arguments[1], data[:room])
        caller.write(caller.arguments[2], struct.pack("=i", len(data)))
        caller.succeed()

    def _shown(self, guest: Guest, sock: socket.socket, ip: bytes, port: int) -> tuple[bytes, int] | None:
        found = self._routing.shown(guest, protocol_of(sock), ip, port)
        if found is not None and found[0] == guest.packed and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return WILDCARD, found[1]
        return found

    # without duplicates of sockets

    def _getsockname_remembered(self, caller: Caller, guest: Guest) -> None:
        self._name_remembered(caller, guest, of_peer=False)

    def _getpeername_remembered(self, caller: Caller, guest: Guest) -> None:
        self._name_remembered(caller, guest, of_peer=True)

    def _name_remembered(self, caller: Caller, guest: Guest, *, of_peer: bool) -> None:
        """Of a stream that was connected or listens, by what was remembered; of all others by the kernel's answer."""
        assert self._held is not None
        names = self._held.names(caller.thread, caller.arguments[0])
        name = None if names is None else names.peer if of_peer else names.local
        ip = None if name is None else _packed(name[0])
        if names is None or name is None or ip is None:
            self._rewriting.name(caller, guest, self._others)
            return
        shown = self._routing.shown(guest, TCP, ip, name[1])
        if names.peer is None and shown is not None and shown[0] == guest.packed:
            shown = WILDCARD, shown[1]
        self._tell(caller, names.family, shown)


def _packed(text: str) -> bytes | None:
    """IPv4, also in IPv6's clothes."""
    try:
        return socket.inet_aton(text.removeprefix("::ffff:")) if "." in text else None
    except OSError:
        return None
