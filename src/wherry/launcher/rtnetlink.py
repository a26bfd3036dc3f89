"""Interfaces, addresses and routes by rtnetlink(7): messages are built by pure functions and sent in batches.

A batch is one sendmsg and one run of acknowledgements, which is what makes a pod's network cost about a millisecond.
Works in whatever network namespace the calling process was in when the `Netlink` was made.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Sequence

from wherry.launcher.syscalls import SyscallError

NETLINK_ROUTE = 0

# linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
RTM_NEWLINK = 16
RTM_NEWADDR = 20
RTM_NEWROUTE = 24
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 18, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC = 1, 4, 5, 7
_RT_TABLE_MAIN, _RTPROT_BOOT, _RTN_UNICAST = 254, 3, 1
SCOPE_UNIVERSE, SCOPE_LINK = 0, 253
_IFF_UP = 1
LOOPBACK_INDEX = 1  # in every network namespace

Request = tuple[str, int, int, bytes]
"""What it does (for error messages), message type, flags beyond REQUEST|ACK, body."""


def attribute(kind: int, payload: bytes) -> bytes:
    """struct rtattr / nlattr with its padding."""
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind) + payload + bytes(-length % 4)


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def _link(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change)


def link_up(index: int) -> Request:
    """Set an interface up."""
    return (f"ip link set {index} up", RTM_NEWLINK, 0, _link(index, _IFF_UP, _IFF_UP))


def veth(index: int, name: str, peer_index: int, peer_name: str, peer_netns: int, peer_address: bytes = b"") -> Request:
    """A veth pair, the node's end up, the other end in the namespace of descriptor `peer_netns`, still down.

    `peer_address` is the other end's hardware address; chance gives it one otherwise.

    The indexes are chosen by us so that the messages after this one need no answer to it. IFF_UP on the peer in this
    message would fail with ENOTCONN.
    """
    peer = (
        _link(peer_index) + _text(_IFLA_IFNAME, peer_name) + attribute(_IFLA_NET_NS_FD, struct.pack("=i", peer_netns))
    )
    if peer_address:
        peer += attribute(_IFLA_ADDRESS, peer_address)
    info = _text(_IFLA_INFO_KIND, "veth") + attribute(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, peer))
    body = _link(index, _IFF_UP, _IFF_UP) + _text(_IFLA_IFNAME, name) + attribute(_IFLA_LINKINFO, info)
    return (f"ip link add {name} type veth peer {peer_name}", RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def address(index: int, ip: str) -> Request:
    """Give an interface one address of its own (/32 or /128); repeating it is no error."""
    packed = ipaddress.ip_address(ip).packed
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    body = struct.pack("=BBBBI", family, len(packed) * 8, 0, SCOPE_UNIVERSE, index)
    body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    return (f"ip address add {ip} dev {index}", RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body)


def route(index: int, destination: str | None, *, gateway: str | None = None, source: str | None = None) -> Request:
    """A route to one address (None: the default route), by a gateway or directly on the link."""
    target = ipaddress.ip_address(destination).packed if destination else b""
    scope = SCOPE_UNIVERSE if gateway else SCOPE_LINK
    head = (socket.AF_INET, len(target) * 8, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, scope, _RTN_UNICAST, 0)
    body = struct.pack("=BBBBBBBBI", *head)
    if target:
        body += attribute(_RTA_DST, target)
    if gateway:
        body += attribute(_RTA_GATEWAY, ipaddress.ip_address(gateway).packed)
    if source:
        body += attribute(_RTA_PREFSRC, ipaddress.ip_address(source).packed)
    body += attribute(_RTA_OIF, struct.pack("=i", index))
    words = f"ip route add {destination or 'default'} dev {index}" + (f" via {gateway}" if gateway else "")
    return (words, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body)


def messages(payload: bytes) -> list[tuple[int, bytes]]:
    """Split received bytes into (message type, body)."""
    found: list[tuple[int, bytes]] = []
    offset = 0
    while offset + 16 <= len(payload):
        length, kind = struct.unpack_from("=IH", payload, offset)
        if length < 16:
            break
        found.append((kind, payload[offset + 16 : offset + length]))
        offset += (length + 3) & ~3
    return found


class Netlink:
    """A NETLINK_ROUTE socket. Blocking: the kernel answers before sendmsg returns."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE)
        self._sock.bind((0, 0))
        self._sequence = 0

    def transact(self, requests: Sequence[Request]) -> None:
        """Send all, in order. Raises SyscallError naming the first one that the kernel refused; later ones may have been done."""
        batch = b""
        waiting: dict[int, str] = {}
        for what, kind, flags, body in requests:
            self._sequence += 1
            waiting[self._sequence] = what
            flags |= NLM_F_REQUEST | NLM_F_ACK
            batch += struct.pack("=IHHII", 16 + len(body), kind, flags, self._sequence, 0) + body
        self._sock.send(batch)
        failure: SyscallError | None = None
        while waiting:
            payload = self._sock.recv(65536)
            offset = 0
            while offset + 20 <= len(payload):
                length, kind, _, sequence = struct.unpack_from("=IHHI", payload, offset)
                if kind == _NLMSG_ERROR and sequence in waiting:
                    code = -struct.unpack_from("=i", payload, offset + 16)[0]
                    what = waiting.pop(sequence)
                    if code and failure is None:
                        failure = SyscallError(code, "rtnetlink", what)
                offset += (length + 3) & ~3
        if failure is not None:
            raise failure

    def close(self) -> None:
        self._sock.close()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def raw_socket(protocol: int) -> socket.socket:
    """A netlink socket for `transact_raw`, to be kept: closing one after nf_tables deletions waits 6-14 ms for the kernel."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    sock.bind((0, 0))
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 4 * 1024 * 1024)  # granted up to net.core.{r,w}mem_max
    return sock


def transact_raw(sock: socket.socket, payload: bytes, *, replies_max: int = 4096) -> bytes:
    """Send a ready batch over a netlink socket and return everything the kernel answered.

    The kernel handles a batch inside sendmsg, so whatever is readable afterwards is the whole answer, except for dumps,
    which are read until NLMSG_DONE. After an error the socket may hold the rest of an answer: do not use it again.
    """
    try:
        sock.send(payload)
    except OSError as error:
        raise SyscallError(error.errno or errno.EIO, "sendmsg", f"netlink, {len(payload)} bytes") from error
    received: list[bytes] = []
    while len(received) < replies_max:
        try:
            received.append(sock.recv(1 << 20, socket.MSG_DONTWAIT))
        except BlockingIOError:
            break
        except OSError as error:
            raise SyscallError(error.errno or errno.EIO, "recvmsg", "netlink") from error
    return b"".join(received)
