"""bind, connect, listen and uname as a pod's own network would do them, and the handlers of all that concern addresses.

The shim performs the call on a duplicate of the socket with an address that the caller cannot change any more. Where
pidfd_getfd(2) is forbidden those are the duplicates that held.py keeps; for what it does not have, see rewriting.py.
Never waits: a connection that takes its time is begun here and waited for by the kernel in the caller, which then no longer
looks at the address.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from functools import lru_cache
from socket import SocketType

from wherry.launcher.proc.addresses import (
    SOCKADDR_4_BYTES,
    SOCKADDR_6_BYTES,
    SOCKADDR_BYTES_MAX,
    WILDCARD,
    Address,
    Block,
    decode,
)
from wherry.launcher.proc.alarm import ALARM
from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.datagrams import DatagramCalls
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.held import Handler, Held, NotHeldError
from wherry.launcher.proc.landlock import NO_PORT, forbids_tcp
from wherry.launcher.proc.messages import address_of
from wherry.launcher.proc.name_calls import NameCalls
from wherry.launcher.proc.notify import NETWORK
from wherry.launcher.proc.outcomes import Refusal
from wherry.launcher.proc.ports import ANY, TCP, UDP, protocol_of
from wherry.launcher.proc.rewriting import Rewriting, named_protocol, own_place
from wherry.launcher.proc.routing import Routing
from wherry.launcher.proc.unix_calls import UnixCalls, await_begun

_NOWHERE = b"\xc0\0\2\1"  # 192.0.2.1, which is nobody's (RFC 5737)
_IP_BIND_ADDRESS_NO_PORT = 24
_SELINUX = "/sys/fs/selinux/enforce"
_DATAGRAM = int(socket.SOCK_DGRAM)  # an enumeration's member is compared more slowly than the kernel answers
_WAITS = -1


class NetworkCalls:
    """`handlers` by system call number. They raise OSError, Refusal and GoneError, and answer unless they raise."""

    def __init__(self, routing: Routing, state: bytes, held: Held | None) -> None:
        """`held`: where duplicates of sockets may not be taken."""
        self._routing = routing
        self._held = held
        self._alone = held is None and forbids_tcp()
        self._selinux = os.path.exists(_SELINUX)
        by_name: dict[str, Handler] = {
            "bind": self._bind,
            "connect": self._connect,
            "listen": self._listen,
            "uname": _uname,
        }
        rewriting = Rewriting(routing)
        otherwise: dict[str, Handler | None] = {
            "bind": rewriting.bind,
            "connect": rewriting.connect,
            "listen": None,
        }
        if held is not None:
            by_name["bind"] = self._bind_beside_held
            by_name |= {name: held.first(by_name[name], handler) for name, handler in otherwise.items()}
        self._others = UnixCalls(state, exact=held is None)
        self._datagrams = DatagramCalls(routing, rewriting.rewrite, held)
        names = NameCalls(routing, rewriting, self._others, held)
        self.handlers = {NETWORK[name]: handler for name, handler in by_name.items()}
        self.handlers |= names.handlers | self._datagrams.handlers

    # connect

    def _connect(self, caller: Caller, guest: Guest) -> None:
        """Every connection waits for this: whether all of it is the caller's is asked once, and the duplicate is closed before
        the answer, so that the caller's own close is the last one."""
        fd, raw = _peek_address(caller)
        to = decode(raw)
        if to is None:
            if fd >= 0:
                os.close(fd)
            ALARM.silence()
            caller.check()
            self._others.connect(caller, guest, raw)
            return
        sock = _plain(caller.take_and_check(caller.arguments[0]) if fd < 0 else fd, to.family)
        try:
            kind = sock.type
            real = self._routing.route(guest, to, UDP if kind == _DATAGRAM else TCP)
            if real is not None:
                if kind == _DATAGRAM:
                    self._datagrams.remember(sock, real, to)
                if guest.ip and real.ip[0] == 127 and (kind == _DATAGRAM or not self._is_own_loopback(to.ip)):
                    _come_from(sock, _source(self._routing.block, guest.packed, real.family))
            target = real.python() if real else _python(raw, to)
            code = _begin(sock, target)
            if self._held is not None:
                self._held.settle(sock, target)
        finally:
            sock.close()
        if code == 0:
            caller.succeed()
        elif code == _WAITS:
            ALARM.silence()
            self._wait(caller, to)
        else:
            caller.fail(code)

    def _is_own_loopback(self, ip: bytes) -> bool:
        """Who connects to that comes from 127.0.0.1, as the kernel has it by itself: databases trust nobody else."""
        return (ip[0] == 127 and self._routing.block.pod(ip) is None) or ip == WILDCARD

    def _wait(self, caller: Caller, to: Address) -> None:
        """The kernel waits in the caller for what we began. SELinux wants to see an address: one that Landlock lets through
        (landlock.py) where only we may connect."""
        if self._held is None and not self._selinux:
            await_begun(caller)
        elif self._alone and to.port != NO_PORT:
            address = Address(to.family, _NOWHERE, NO_PORT).encode()
            if not caller.again(lambda at: ({1: at, 2: len(address)}, address)):
                raise Refusal(errno.EINTR)  # it is traced by another one; the connection is being made
        else:
            caller.proceed()

    # bind

    def _bind(self, caller: Caller, guest: Guest) -> None:
        raw = address_of(caller, 1, 2)
        wanted = decode(raw)
        if wanted is None:
            if self._held is not None and named_protocol(caller):
                raise Refusal(errno.EAFNOSUPPORT if len(raw) >= SOCKADDR_4_BYTES else errno.EINVAL)
            self._others.bind(caller, guest, raw)
            return
        if not guest.ip:
            caller.proceed()
            return
        with caller.socket() as sock:
            if len(wanted.ip) == 16:
                raise Refusal(errno.EADDRNOTAVAIL)  # the machine's, or nobody's: pods have no IPv6
            if sock.type not in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                caller.proceed()
                return
            if wanted.family == socket.AF_INET6 and sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
                # A socket for IPv6 alone: pods have none, so nobody will ever come.
                sock.bind(("::1", 0))
            elif wanted.port == 0 and wanted.ip == WILDCARD and sock.type == socket.SOCK_DGRAM:
                self._bind_free_datagrams(sock, guest, wanted)
            else:
                self._bind_at(sock, guest, wanted)
        caller.succeed()

    def _bind_free_datagrams(self, sock: socket.socket, guest: Guest, wanted: Address) -> None:
        """A client: it must be able to send to the world, which a loopback address cannot."""
        sock.bind(wanted.python())
        port = sock.getsockname()[1]
        self._record(guest, UDP, port, self._routing.block.shared(guest.packed), port, ANY)

    def _bind_beside_held(self, caller: Caller, guest: Guest) -> None:
        """Who has the port may be a socket that only we still have."""
        assert self._held is not None
        try:
            self._bind(caller, guest)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            self._held.leave(guest.listener)
            raise NotHeldError from error

    def _bind_at(self, sock: socket.socket, guest: Guest, wanted: Address) -> None:
        ip, scope = own_place(self._routing.block, guest, wanted)
        protocol = protocol_of(sock)
        known = self._routing.ports.find(guest.ip, protocol, wanted.port, scope) if wanted.port else None
        try:
            sock.bind(wanted.at(ip, known[1] if known else wanted.port).python())
        except OSError as error:
            elsewhere = error.errno in (errno.EACCES, errno.EPERM) or (error.errno == errno.EADDRINUSE and not known)
            if not wanted.port or not elsewhere:
                raise
            # A privileged port, or one that the machine itself has in use on all its addresses.
            sock.bind(wanted.at(ip, 0).python())
        port = sock.getsockname()[1]
        self._record(guest, protocol, wanted.port or port, ip, port, scope)

    def _record(self, guest: Guest, protocol: str, port: int, ip: bytes, real: int, scope: str) -> None:
        self._routing.ports.record(guest.ip, protocol, port, (socket.inet_ntoa(ip), real), scope)

    # the others

    def _listen(self, caller: Caller, guest: Guest) -> None:
        """A socket that was never bound would get a port on every address of the machine."""
        if guest.ip:
            with caller.socket() as sock:
                if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.getsockname()[1] == 0:
                    self._bind_at(sock, guest, Address(sock.family, WILDCARD, 0))
                if self._held is not None:
                    self._held.settle(sock, None)
        caller.proceed()


def _peek_address(caller: Caller) -> tuple[int, bytes]:
    """A duplicate of the socket, and as `address_of` of connect(2); both as `Caller.take_and_peek`."""
    size = caller.arguments[2] & 0xFFFFFFFF
    if size > SOCKADDR_BYTES_MAX:
        raise Refusal(errno.EINVAL)
    found = caller.take_and_peek(caller.arguments[0], caller.arguments[1], size)
    if len(found[1]) < size:
        if found[0] >= 0:
            os.close(found[0])
        raise Refusal(errno.EFAULT)
    return found


def _plain(fd: int, family: int) -> SocketType:
    """Without what makes Python's sockets comfortable and slow to make."""
    try:
        return SocketType(family, -1, 0, fd)
    except OSError:
        os.close(fd)
        raise


def _come_from(sock: SocketType, place: tuple[str, int]) -> None:
    """The other end sees which pod it is; a socket that is bound already stays as it is."""
    try:
        sock.setsockopt(socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind(place)
    except OSError:
        return


@lru_cache(maxsize=1024)
def _source(block: Block, pod: bytes, family: int) -> tuple[str, int]:
    return Address(family, block.shared(pod), 0).python()


def _begin(sock: SocketType, address: tuple[str | int, ...]) -> int:
    """0 for a connection, an errno, `_WAITS` where the caller has to wait. Never waits itself: see the top of the file."""
    fd = sock.fileno()
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    sock.setblocking(False)  # also says that a connect which is interrupted (alarm.py) is not to be waited for
    ALARM.set()
    if flags & os.O_NONBLOCK:
        return sock.connect_ex(address)
    try:
        code = sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            code = sock.connect_ex(address)  # on this machine it is there by now
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
    return _WAITS if code in (errno.EALREADY, errno.EINTR) else code


def _uname(caller: Caller, guest: Guest) -> None:
    """The machine, with the pod's host name."""
    machine = os.uname()
    fields = (machine.sysname, guest.hostname, machine.release, machine.version, machine.machine, "(none)")
    caller.write(caller.arguments[0], b"".join(os.fsencode(field)[:64].ljust(65, b"\0") for field in fields))
    caller.succeed()


def _python(raw: bytes, address: Address) -> tuple[str | int, ...]:
    """As it came: an IPv6 address keeps its flow and its interface."""
    if address.family == socket.AF_INET:
        return address.python()
    flow, scope = (
        struct.unpack_from(">I", raw, 4)[0],
        struct.unpack_from("=I", raw.ljust(SOCKADDR_6_BYTES, b"\0"), 24)[0],
    )
    return socket.inet_ntop(socket.AF_INET6, raw[8:24]), address.port, flow, scope
