"""Datagrams that name an address, and those that come: sendto, sendmsg, sendmmsg, recvfrom, recvmsg and recvmmsg.

Sockets for datagrams are made here and get a number that the filter knows (notify.WINDOW): a stream's sendmsg is never asked
about. One that a program moves elsewhere by dup(2) sends by sendto(2) only. Receiving is performed here when something is
there; a call that has to wait is the kernel's, which then tells where the datagram really came from.
Of sockets without a duplicate (held.py) addresses to send to are rewritten, and those that came are the real ones.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable
from socket import SocketType

from wherry.launcher.proc.addresses import FAMILY_4, IPV6_ANY, MAPPED, SOCKADDR_BYTES_MAX, Address, decode
from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.free_numbers import free_number
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.held import Held
from wherry.launcher.proc.memory import BUFFER_BYTES
from wherry.launcher.proc.messages import (
    CONTROL_BYTES_MAX,
    HEADER,
    MANY_BYTES,
    MSG_FASTOPEN,
    Message,
    control_message,
    control_messages,
    read_address,
    whole,
)
from wherry.launcher.proc.notify import AF_SMC, DATAGRAMS, NETWORK
from wherry.launcher.proc.outcomes import GoneError, Refusal
from wherry.launcher.proc.ports import UDP
from wherry.launcher.proc.routing import Routing

_PIECES_MAX = 1024  # UIO_MAXIOV
MESSAGES_MAX = 64
"""Of one call; the rest is left for the next one, as the kernel may do too. Nobody else is answered meanwhile."""
_IP_PKTINFO, _IPV6_PKTINFO = 8, 50
_UNSPECIFIED = bytes(2)
"""No family: a datagram's address that begins so is one of IPv4 to a socket of IPv4 (udp_sendmsg, for old programs)."""
_MSG_WAITFORONE = 0x10000
_DCCP, _SCTP, _MPTCP = 6, 132, 262  # messages of SCTP open connections, and MPTCP is no TCP to Landlock
_SEQUENCED = int(socket.SOCK_SEQPACKET)  # with any protocol: SCTP
MEANT_MAX = 4096
"""Sockets and whom they wrote to by a name that is not the real one."""

Rewrite = Callable[[Caller, Guest, int, int], None]


class DatagramCalls:
    """`handlers` by number. They raise OSError, Refusal and GoneError, and answer unless they raise."""

    def __init__(self, routing: Routing, rewrite: Rewrite, held: Held | None) -> None:
        self._routing = routing
        self._held = held
        self._made = (socket.SOCK_DGRAM,) if held is None else (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        self._rewrite = rewrite
        self._meant: OrderedDict[tuple[int, str, int], tuple[bytes, int]] = OrderedDict()
        self._namespace = _namespace("self")
        self._message = Message()
        exactly, otherwise = self._exactly(), self._by_rewriting()
        if held is not None:
            exactly = {number: held.first(handler, otherwise.get(number)) for number, handler in exactly.items()}
        self.handlers = {DATAGRAMS["socket"]: self._make, **exactly}

    # making one

    def _make(self, caller: Caller, guest: Guest) -> None:
        family, kind, protocol = (value & 0xFFFFFFFF for value in caller.arguments[:3])
        plain = kind & 0xF
        if plain in (_DCCP, _SEQUENCED) or protocol in (_SCTP, _MPTCP) or family == AF_SMC:
            raise Refusal(errno.EPROTONOSUPPORT)
        if plain not in self._made or _namespace(str(caller.thread)) != self._namespace:
            caller.proceed()
            return
        with socket.socket(family, kind & ~socket.SOCK_CLOEXEC, protocol) as sock:
            at = free_number(caller) if plain == socket.SOCK_DGRAM else None
            caller.give(sock.fileno(), close_on_exec=bool(kind & socket.SOCK_CLOEXEC), at=at)
            if self._held is not None:
                self._held.keep(guest, sock)

    # on a duplicate of the socket

    def _exactly(self) -> dict[int, Callable[[Caller, Guest], None]]:
        return {
            NETWORK["sendto"]: self._sendto,
            DATAGRAMS["sendmsg"]: lambda caller, guest: self._send(caller, guest, caller.arguments[2]),
            DATAGRAMS["sendmmsg"]: self._sendmmsg,
            DATAGRAMS["recvfrom"]: self._recvfrom,
            DATAGRAMS["recvmsg"]: lambda caller, guest: self._receive(caller, guest, caller.arguments[2]),
            DATAGRAMS["recvmmsg"]: self._recvmmsg,
        }

    def _sendto(self, caller: Caller, guest: Guest) -> None:
        _, data, size, flags, address, length = caller.arguments
        with caller.socket() as sock:
            if not _is_ours(sock):
                if flags & MSG_FASTOPEN:
                    raise Refusal(errno.EOPNOTSUPP)  # programs then call connect
                caller.proceed()
                return
            name = read_address(caller, address, length)
            piece = struct.pack("=QQ", data, size)
            caller.succeed(self._send_one(caller, guest, sock, name, piece, b"", flags))

    def _send(self, caller: Caller, guest: Guest, flags: int) -> None:
        with caller.socket() as sock:
            if not _is_ours(sock):
                caller.proceed()
                return
            caller.succeed(self._send_at(caller, guest, sock, caller.arguments[1], flags))

    def _sendmmsg(self, caller: Caller, guest: Guest) -> None:
        _, vector, count, flags = caller.arguments[:4]
        with caller.socket() as sock:
            if not _is_ours(sock):
                caller.proceed()
                return
            done = _as_many(caller, vector, count, lambda header: self._send_at(caller, guest, sock, header, flags))
        caller.succeed(done)

    def _send_at(self, caller: Caller, guest: Guest, sock: socket.socket, header: int, flags: int) -> int:
        name, size, pieces, count, control, room, _ = HEADER.unpack(whole(caller, header, HEADER.size))
        if count > _PIECES_MAX:
            raise Refusal(errno.EMSGSIZE)
        if room > CONTROL_BYTES_MAX:
            raise Refusal(errno.ENOBUFS)
        to = read_address(caller, name, size) if name and size else b""
        vector = whole(caller, pieces, 16 * count)
        ancillary = whole(caller, control, room) if control else b""
        return self._send_one(caller, guest, sock, to, vector, ancillary, flags)

    def _send_one(
        self, caller: Caller, guest: Guest, sock: socket.socket, name: bytes, pieces: bytes, control: bytes, flags: int
    ) -> int:
        """What the kernel answers. `pieces` are struct iovecs of the caller's memory."""
        to = decode(name if sock.family == socket.AF_INET6 or name[:2] != _UNSPECIFIED else FAMILY_4 + name[2:])
        real = self._routing.route(guest, to, UDP) if to else None
        if real is not None and to is not None:
            name = real.encode()
            self.remember(sock, real, to)
        if control or real is not None:
            control = self._come_from(sock, guest, real, control)
        return self._message.send(sock, name, caller.gather(pieces), control, flags)

    def _come_from(self, sock: socket.socket, guest: Guest, real: Address | None, control: bytes) -> bytes:
        """The caller's control messages; to one of us it comes from the pod's own address whatever they say."""
        inside = real is not None and real.ip[0] == 127 and bool(guest.ip)
        found = b""
        if inside:
            source = self._routing.block.shared(guest.packed)
            if sock.family == socket.AF_INET:
                found = control_message(socket.SOL_IP, _IP_PKTINFO, struct.pack("=i4s4s", 0, source, bytes(4)))
            else:
                found = control_message(socket.IPPROTO_IPV6, _IPV6_PKTINFO, struct.pack("=16si", MAPPED + source, 0))
        sources = {(socket.SOL_IP, _IP_PKTINFO), (socket.IPPROTO_IPV6, _IPV6_PKTINFO)}
        for level, kind, data in control_messages(control):
            if (level, kind) not in sources or (not inside and not _names_loopback(data)):
                found += control_message(level, kind, data)
        return found

    def remember(self, sock: SocketType, real: Address, meant: Address) -> None:
        """Answers from `real` shall come from whom the program wrote to."""
        if meant.ip == real.ip and meant.port == real.port:
            return
        place = real.python()
        key = os.fstat(sock.fileno()).st_ino, place[0].removeprefix("::ffff:"), place[1]
        self._meant[key] = meant.ip, meant.port
        self._meant.move_to_end(key)
        while len(self._meant) > MEANT_MAX:
            self._meant.popitem(last=False)

    def _recvfrom(self, caller: Caller, guest: Guest) -> None:
        _, data, size, flags, address, length = caller.arguments
        with caller.socket() as sock:
            found = self._message.receive(sock, min(size, BUFFER_BYTES), 0, flags) if _is_ours(sock) else None
            if found is None:
                caller.proceed()
                return
            count, name, _, _ = found
            caller.write(data, self._message.received(min(count, size)))
            if length:
                room = struct.unpack("=i", whole(caller, length, 4))[0]
                if room < 0:
                    raise Refusal(errno.EINVAL)
                shown = self._shown(guest, sock, name)
                caller.write(address, shown[:room])
                caller.write(length, struct.pack("=i", len(shown)))
        caller.succeed(count)

    def _receive(self, caller: Caller, guest: Guest, flags: int) -> None:
        with caller.socket() as sock:
            count = self._receive_at(caller, guest, sock, caller.arguments[1], flags) if _is_ours(sock) else None
            if count is None:
                caller.proceed()
                return
        caller.succeed(count)

    def _recvmmsg(self, caller: Caller, guest: Guest) -> None:
        """Whoever wants several gets those that are there."""
        _, vector, wanted, flags = caller.arguments[:4]
        flags &= ~_MSG_WAITFORONE
        with caller.socket() as sock:
            if not _is_ours(sock):
                caller.proceed()
                return
            done = _as_many(caller, vector, wanted, lambda header: self._receive_at(caller, guest, sock, header, flags))
        if done or not wanted & 0xFFFFFFFF:
            caller.succeed(done)
        else:
            caller.proceed()

    def _receive_at(self, caller: Caller, guest: Guest, sock: socket.socket, header: int, flags: int) -> int | None:
        name, room, pieces, many, control, ancillary, _ = HEADER.unpack(whole(caller, header, HEADER.size))
        if not name:
            return None  # nobody asks where it comes from
        if many > _PIECES_MAX:
            raise Refusal(errno.EMSGSIZE)
        vector = whole(caller, pieces, 16 * many)
        size = sum(struct.unpack_from("=Q", vector, at + 8)[0] for at in range(0, len(vector), 16))
        found = self._message.receive(sock, min(size, BUFFER_BYTES), min(ancillary, CONTROL_BYTES_MAX), flags)
        if found is None:
            return None
        count, raw, controls, said = found
        caller.scatter(vector, self._message.received(min(count, size)))
        shown = self._shown(guest, sock, raw)
        caller.write(name, shown[: min(room, SOCKADDR_BYTES_MAX)])
        caller.write(header + 8, struct.pack("=I", len(shown)))
        if control and controls:
            caller.write(control, controls)
        caller.write(header + 40, struct.pack("=Qi", len(controls), said))
        return count

    def _shown(self, guest: Guest, sock: socket.socket, name: bytes) -> bytes:
        """A sender as the pods know it."""
        sender = decode(name)
        if sender is None or len(sender.ip) == 16 or name[8:24] == IPV6_ANY:
            return name
        ip, port = socket.inet_ntoa(sender.ip), sender.port
        meant = self._meant.get((os.fstat(sock.fileno()).st_ino, ip, port))
        shown = meant or self._routing.shown(guest, UDP, sender.ip, port)
        return sender.at(*shown).encode() if shown else name

    # without duplicates

    def _by_rewriting(self) -> dict[int, Callable[[Caller, Guest], None]]:
        return {
            NETWORK["sendto"]: self._rewrite_sendto,
            DATAGRAMS["sendmsg"]: self._rewrite_sendmsg,
            DATAGRAMS["sendmmsg"]: self._rewrite_sendmmsg,
        }

    def _rewrite_sendto(self, caller: Caller, guest: Guest) -> None:
        self._rewrite(caller, guest, caller.arguments[4], caller.arguments[5])
        caller.proceed()

    def _rewrite_sendmsg(self, caller: Caller, guest: Guest) -> None:
        self._rewrite_at(caller, guest, caller.arguments[1])
        caller.proceed()

    def _rewrite_sendmmsg(self, caller: Caller, guest: Guest) -> None:
        _, vector, count = caller.arguments[:3]
        for number in range(min(count & 0xFFFFFFFF, _PIECES_MAX)):
            self._rewrite_at(caller, guest, vector + number * MANY_BYTES)
        caller.proceed()

    def _rewrite_at(self, caller: Caller, guest: Guest, header: int) -> None:
        name, length = struct.unpack("=QI", whole(caller, header, 12))
        if name and length:
            self._rewrite(caller, guest, name, length)


def _is_ours(sock: socket.socket) -> bool:
    return sock.type == socket.SOCK_DGRAM and sock.family in (socket.AF_INET, socket.AF_INET6)


def _as_many(caller: Caller, vector: int, count: int, one: Callable[[int], int | None]) -> int:
    """Do it for each struct mmsghdr until one fails or says None; for how many it was done. Raises what the first raises."""
    for done in range(min(count & 0xFFFFFFFF, MESSAGES_MAX)):
        header = vector + done * MANY_BYTES
        try:
            size = one(header)
        except (OSError, Refusal):
            if done == 0:
                raise
            return done
        if size is None:
            return done
        caller.write(header + HEADER.size, struct.pack("=I", size))
    return min(count & 0xFFFFFFFF, MESSAGES_MAX)


def _names_loopback(data: bytes) -> bool:
    """Whether an in_pktinfo or in6_pktinfo asks for a source in 127.0.0.0/8."""
    ip = data[4:8] if len(data) == 12 else data[12:16] if data.startswith(MAPPED) else b""
    return ip[:1] == b"\x7f"


def _namespace(process: str) -> int:
    """Of a process's network. Raises GoneError."""
    try:
        return os.stat(f"/proc/{process}/ns/net").st_ino
    except OSError as error:
        raise GoneError from error
