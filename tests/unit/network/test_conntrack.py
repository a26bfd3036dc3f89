from __future__ import annotations

import socket
import struct

from wherry.network import conntrack
from wherry.network import nfnetlink as nf
from wherry.network.services import Backend, ServicePort, ServiceRecord

VIP = "10.96.0.5"


def tuple_(source: tuple[str, int], target: tuple[str, int], protocol: int = 17) -> bytes:
    address = nf.nest(1, nf.attr(1, socket.inet_aton(source[0])), nf.attr(2, socket.inet_aton(target[0])))
    ports = nf.attr(2, struct.pack(">H", source[1])), nf.attr(3, struct.pack(">H", target[1]))
    return address + nf.nest(2, nf.octet(1, protocol), *ports)


def entry(client: int, pod: str, vip: str = VIP) -> bytes:
    original = tuple_(("10.244.0.9", client), (vip, 53))
    reply = tuple_((pod, 5353), ("10.244.0.9", client))
    return nf.Message(1 << 8, 0, bytes(4) + nf.nest(1, original) + nf.nest(2, reply)).encode(1)


def record(*pods: str, protocol: str = "UDP") -> ServiceRecord:
    backends = tuple(Backend(pod, 5353) for pod in pods)
    return ServiceRecord("d", "dns", cluster_ip=VIP, ports=(ServicePort("", protocol, 53, 0, backends),))


def test_only_services_that_lost_an_endpoint_are_asked_about() -> None:
    two, one = record("10.244.0.2", "10.244.0.3"), record("10.244.0.3")
    assert conntrack.stale(two, one) == [(VIP, 53, frozenset({("10.244.0.3", 5353)}))]
    assert conntrack.stale(two, None) == [(VIP, 53, frozenset())]
    assert conntrack.stale(one, two) == []
    assert conntrack.stale(None, two) == []
    assert conntrack.stale(record("10.244.0.2", protocol="TCP"), None) == []


def test_entries_of_lost_endpoints_are_deleted_by_their_tuple() -> None:
    answer = entry(1000, "10.244.0.2") + entry(1001, "10.244.0.3") + entry(1002, "10.244.0.2", vip="10.96.0.6")
    deletions = list(nf.replies(conntrack.deletions(answer, VIP, 53, {("10.244.0.3", 5353)})))
    assert len(deletions) == 1
    kind, _, body = deletions[0]
    assert kind == 1 << 8 | 2
    assert dict(nf.attributes(body[4:])) == {1: tuple_(("10.244.0.9", 1000), (VIP, 53))}
    assert conntrack.deletions(b"", VIP, 53, set()) == b""
