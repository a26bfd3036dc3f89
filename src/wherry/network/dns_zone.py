"""The names of the cluster: Kubernetes' DNS specification 1.1.0, answered as CoreDNS's `kubernetes` plugin does.

Is: pure; service records in, records of a question out. Is not: a server (`dns.py`) or a forwarder (`dns_forward.py`).
    <service>.<ns>.svc.<domain>                       A: cluster address, or every ready address of a headless service
    <host>.<service>.<ns>.svc.<domain>                A: one endpoint, by its hostname or its dashed address
    _<port>._<proto>.<service>.<ns>.svc.<domain>      SRV: named ports
    <a-b-c-d>.<ns>.pod.<domain>                       A: the address it spells, for a namespace that exists
    <d.c.b.a>.in-addr.arpa                            PTR: of cluster addresses and endpoints
    host.wherry.internal                              A: the machine Wherry runs on
Always true: a name that exists answers NOERROR for every type, with the SOA when it has no record of that type.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from wherry.network import dns_wire as wire
from wherry.network.dns_wire import Name, Question, Record
from wherry.network.services import EndpointName, ServiceRecord

SCHEMA_VERSION = b"1.1.0"
TTL_SECONDS = 30
"""What kubeadm's Corefile says."""
HOST_NAME: Name = (b"host", b"wherry", b"internal")
_DASHED = re.compile(rb"\d{1,3}(-\d{1,3}){3}")
_REVERSE: Name = (b"in-addr", b"arpa")


@dataclass(frozen=True, slots=True)
class Answer:
    """What to put into the answer. With `alias` the records of that name follow, from wherever it is known."""

    rcode: int = wire.NOERROR
    answers: Sequence[Record] = ()
    authorities: Sequence[Record] = ()
    additionals: Sequence[Record] = ()
    alias: Name | None = None


class Zone:
    """Every name this cluster knows, as of one moment."""

    def __init__(
        self,
        services: Mapping[str, ServiceRecord],
        namespaces: frozenset[str],
        *,
        domain: str = "cluster.local",
        dns_address: str = "10.96.0.10",
        host_address: str = "10.244.0.1",
        serial: int = 1,
    ) -> None:
        self._services = services
        self._namespaces = namespaces | {record.namespace for record in services.values()}
        self._domain = wire.name(domain)
        self._dns_address = dns_address
        self._host_address = host_address
        self._serial = serial

    def answer(self, question: Question) -> Answer | None:
        """None when the name is not ours: somebody else is asked."""
        folded = wire.fold(question.name)
        if question.klass != wire.IN:
            return None
        if folded[-len(self._domain) :] == self._domain:
            return self._in_domain(question, folded[: -len(self._domain)])
        if folded == HOST_NAME:
            return self._pick(question, [self._a(question.name, self._host_address)])
        if folded[-2:] == _REVERSE and folded in self._pointers:
            names = [wire.encode_name(name) for name in self._pointers[folded]]
            return self._pick(question, [self._record(question.name, wire.PTR, name) for name in names])
        return None

    # --- below the domain -----------------------------------------------------------------------------------------------

    def _in_domain(self, question: Question, labels: Name) -> Answer:
        if not labels:
            return self._apex(question)
        if labels == (b"dns-version",):
            return self._pick(question, [self._record(question.name, wire.TXT, wire.txt_data(SCHEMA_VERSION))])
        if labels == (b"ns", b"dns"):
            return self._pick(question, [self._a(question.name, self._dns_address)])
        if labels == (b"dns",):
            return self._no_data()
        *rest, kind = labels
        if kind not in (b"svc", b"pod"):
            return self._no_such_name()
        if not rest:
            return self._no_data()
        namespace = rest[-1].decode("ascii", "replace")
        if len(rest) == 1:
            return self._no_data() if namespace in self._namespaces else self._no_such_name()
        if kind == b"pod":
            return self._pod(question, rest, namespace)
        return self._service(question, tuple(rest[:-2]), rest[-2].decode("ascii", "replace"), namespace)

    def _apex(self, question: Question) -> Answer:
        server = (b"ns", b"dns", *self._domain)
        name_server = self._record(question.name, wire.NS, wire.encode_name(server))
        if question.type == wire.NS:
            return Answer(answers=[name_server], additionals=[self._a(server, self._dns_address)])
        return self._pick(question, [name_server, self._soa()])

    def _pod(self, question: Question, rest: Sequence[bytes], namespace: str) -> Answer:
        """`pods insecure`: whether such a pod exists is not asked."""
        if len(rest) == 2 and namespace in self._namespaces and _DASHED.fullmatch(rest[0]):
            try:
                ip = str(ipaddress.IPv4Address(rest[0].replace(b"-", b".").decode()))
            except ValueError:
                return self._no_such_name()
            return self._pick(question, [self._a(question.name, ip)])
        return self._no_such_name()

    def _service(self, question: Question, prefix: Name, service: str, namespace: str) -> Answer:
        record = self._services.get(f"{namespace}/{service}")
        if record is None or len(prefix) > 2:
            return self._no_such_name()
        host = prefix[0].decode("ascii", "replace") if len(prefix) == 1 else None
        port, protocol = (prefix[0].lstrip(b"_"), prefix[1].lstrip(b"_")) if len(prefix) == 2 else (b"", b"")
        if record.external_name:
            return self._external(question, record) if not prefix else self._no_such_name()
        own = (service.encode(), namespace.encode(), b"svc", *self._domain)
        targets = list(
            _targets(record, own, host, port.decode("ascii", "replace"), protocol.decode("ascii", "replace"))
        )
        if not targets:
            return self._no_such_name()
        if question.type == wire.SRV:
            return self._srv(question, targets)
        return self._pick(question, [self._a(question.name, ip) for ip in dict.fromkeys(t[1] for t in targets)])

    def _external(self, question: Question, record: ServiceRecord) -> Answer:
        try:
            target = wire.name(record.external_name)
        except wire.WireError:
            return self._no_such_name()
        cname = self._record(question.name, wire.CNAME, wire.encode_name(target))
        return Answer(answers=[cname], alias=None if question.type == wire.CNAME else target)

    def _srv(self, question: Question, targets: Sequence[tuple[Name, str, int]]) -> Answer:
        """Priority 0; the weights of all targets add up to 100."""
        targets = [target for target in targets if target[2]]
        if not targets:
            return self._no_data()
        weight = max(100 // len(targets), 1)
        unique = dict.fromkeys((target, port) for target, _, port in targets)
        return Answer(
            answers=[
                self._record(question.name, wire.SRV, wire.srv_data(0, weight, port, target)) for target, port in unique
            ],
            additionals=[self._a(target, ip) for target, ip in dict.fromkeys((t, ip) for t, ip, _ in targets)],
        )

    # --- shapes of answers ------------------------------------------------------------------------------------------------

    def _pick(self, question: Question, records: Sequence[Record]) -> Answer:
        """The records of the type that was asked for; none is not an error."""
        found = [record for record in records if question.type in (record.type, wire.ANY)]
        return Answer(answers=found) if found else self._no_data()

    def _no_data(self) -> Answer:
        return Answer(authorities=[self._soa()])

    def _no_such_name(self) -> Answer:
        return Answer(wire.NXDOMAIN, authorities=[self._soa()])

    def _soa(self) -> Record:
        data = wire.soa_data(
            (b"ns", b"dns", *self._domain), (b"hostmaster", *self._domain), self._serial, 7200, 1800, 86400, TTL_SECONDS
        )
        return self._record(self._domain, wire.SOA, data)

    def _a(self, name: Name, ip: str) -> Record:
        return self._record(name, wire.A, socket.inet_aton(ip))

    def _record(self, name: Name, kind: int, data: bytes) -> Record:
        return Record(name, kind, TTL_SECONDS, data)

    @cached_property
    def _pointers(self) -> dict[Name, list[Name]]:
        """A cluster address names its service; any other address the endpoints it is in."""
        found: dict[Name, list[Name]] = {}
        records = [record for _, record in sorted(self._services.items())]
        for record in records:
            if record.cluster_ip:
                found.setdefault(_reversed(record.cluster_ip), []).append(self._own(record))
        taken = set(found)
        for record in records:
            for endpoint in record.endpoints:
                pointer = _reversed(endpoint.ip)
                if pointer not in taken:
                    found.setdefault(pointer, []).append((endpoint.host.encode(), *self._own(record)))
        return found

    def _own(self, record: ServiceRecord) -> Name:
        return (record.name.encode(), record.namespace.encode(), b"svc", *self._domain)


def _reversed(ip: str) -> Name:
    return (*(part.encode() for part in reversed(ip.split("."))), *_REVERSE)


def _targets(
    record: ServiceRecord, own: Name, host: str | None, port: str, protocol: str
) -> Iterator[tuple[Name, str, int]]:
    """(name, address, port) of what a question about a service means; port 0 when it has none."""
    if host is None and not record.headless:
        for item in record.ports:
            if record.cluster_ip and _same_port(port, item.name, protocol, item.protocol):
                yield own, record.cluster_ip, item.port
        return
    for endpoint in record.endpoints:
        if host in (None, endpoint.host.lower()):
            for name, proto, number in _endpoint_ports(endpoint):
                if _same_port(port, name, protocol, proto):
                    yield (endpoint.host.encode(), *own), endpoint.ip, number


def _endpoint_ports(endpoint: EndpointName) -> Sequence[tuple[str, str, int]]:
    return endpoint.ports or (("", "", 0),)


def _same_port(port: str, name: str, protocol: str, proto: str) -> bool:
    return (not port or port == name.lower()) and (not protocol or protocol == proto.lower())
