"""Forget where datagrams went: conntrack entries of UDP services whose endpoint is gone (linux/nfnetlink_conntrack.h).

A UDP "connection" is decided by its first datagram and lives as long as datagrams come; without this a client that keeps
its port would talk to a pod that is no more. What kube-proxy does with the same messages.
Is: pure; a question (a dump, filtered by the kernel from 5.8 on), the reading of its answer, and the deletions.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection, Iterator

from wherry.network import nfnetlink as nf
from wherry.network.services import ServiceRecord

_GET, _DELETE = 1, 2
_TUPLE_ORIG, _TUPLE_REPLY, _FILTER = 1, 2, 25
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_UDP = 17
_F_IP_DST, _F_PROTO_NUM, _F_PROTO_DST_PORT = 1 << 1, 1 << 3, 1 << 5


def _message(kind: int, flags: int, *parts: bytes) -> bytes:
    body = struct.pack(">BBH", socket.AF_INET, 0, 0) + b"".join(parts)
    return nf.Message(nf.SUBSYS_CTNETLINK << 8 | kind, flags, body).encode(1)


def dump(ip: str, port: int) -> bytes:
    """Ask for the UDP entries whose original destination is `ip`:`port`."""
    where = nf.nest(
        _TUPLE_ORIG,
        nf.nest(_TUPLE_IP, nf.attr(2, socket.inet_aton(ip))),
        nf.nest(_TUPLE_PROTO, nf.octet(1, _UDP), nf.attr(3, struct.pack(">H", port))),
    )
    flags = struct.pack("=I", _F_IP_DST | _F_PROTO_NUM | _F_PROTO_DST_PORT)
    return _message(_GET, nf.NLM_F_DUMP, where, nf.nest(_FILTER, nf.attr(1, flags)))


def deletions(answer: bytes, ip: str, port: int, keep: Collection[tuple[str, int]]) -> bytes:
    """Messages that delete the entries of a dump that lead anywhere but to `keep`; empty when there are none."""
    return b"".join(
        _message(_DELETE, nf.NLM_F_ACK, nf.attr(_TUPLE_ORIG | 0x8000, original))
        for original, reply in _entries(answer)
        if _end(original, 2) == (_UDP, ip, port) and _end(reply, 1)[1:] not in keep
    )


def stale(old: ServiceRecord | None, new: ServiceRecord | None) -> list[tuple[str, int, frozenset[tuple[str, int]]]]:
    """(address, port, endpoints that are still right) of the UDP ports of a service that lost an endpoint."""
    if old is None:
        return []
    now = {
        (ip, port.port): frozenset((b.ip, b.port) for b in port.backends)
        for record in (new,)
        if record is not None
        for port in record.ports
        if port.protocol == "UDP"
        for ip in (record.cluster_ip, *record.addresses)
    }
    found = []
    for port in old.ports:
        for ip in (old.cluster_ip, *old.addresses):
            keep = now.get((ip, port.port), frozenset())
            if port.protocol == "UDP" and ip and not keep.issuperset(port.backends):
                found.append((ip, port.port, keep))
    return found


def _entries(answer: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(original tuple, reply tuple) of each entry in a dump."""
    for kind, _, body in nf.replies(answer):
        if kind >> 8 == nf.SUBSYS_CTNETLINK:
            found = dict(nf.attributes(body[4:]))
            if _TUPLE_ORIG in found and _TUPLE_REPLY in found:
                yield found[_TUPLE_ORIG], found[_TUPLE_REPLY]


def _end(data: bytes, side: int) -> tuple[int, str, int]:
    """(protocol, address, port) of a tuple's source (side 1) or destination (side 2)."""
    parts = dict(nf.attributes(data))
    address = dict(nf.attributes(parts.get(_TUPLE_IP, b""))).get(side, b"")
    proto = dict(nf.attributes(parts.get(_TUPLE_PROTO, b"")))
    port = proto.get(side + 1, b"")
    if len(address) != 4 or len(port) != 2:
        return proto.get(1, b"\0")[0], "", 0
    return proto.get(1, b"\0")[0], socket.inet_ntoa(address), struct.unpack(">H", port)[0]
