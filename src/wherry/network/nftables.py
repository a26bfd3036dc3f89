"""Service records -> nf_tables: what kube-proxy's nftables mode does, as one table of static rules over maps.

Is: pure; `skeleton()` is the table, `Ruleset.change()` the messages that turn the maps from what they hold into what
the services ask for. Is not: a socket (`proxy.py` sends the bytes) nor an encoder (`nfnetlink.py`).

A connection is decided once, by its first packet (nat chains see no others):
    destination in `local`                     -> accepted: the API server and DNS, sockets of Wherry itself
    (daddr . proto . dport . random 60)        -> `services` gives the pod's address and port
    (daddr . proto . dport . random 840)       -> `wide`, for services with more than 12 backends
    (daddr . proto . dport . jhash(saddr) 240) -> `sticky`, for sessionAffinity ClientIP
    destination in `addresses`                 -> refused: a service without endpoints, or not a port of it
    any other TCP that leaves the pod network  -> netd's egress listener
Always true: one service's elements are changed by one transaction, so no connection sees half of a service; a table is
replaced by building the other one and switching hooks in one transaction, so that a resync has no gap.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wherry.network import nfnetlink as nf
from wherry.network import slots
from wherry.network.services import PROTOCOLS, Backend, ServicePort, ServiceRecord

TABLES = ("wherry-a", "wherry-b")
"""The live table and the one a resync builds; whichever has hooks is live."""

NAT, FILTER = "nat", "filter"
PREROUTING, FORWARD, OUTPUT, POSTROUTING = (
    (NAT, 0, -100), (FILTER, 2, 0), (NAT, 3, -100), (NAT, 4, 100),
)  # fmt: skip
"""(chain type, hook, priority): those of dstnat, filter and srcnat."""

SERVICES, WIDE, STICKY, LOCAL, ADDRESSES, HAIRPIN = "services", "wide", "sticky", "local", "addresses", "hairpin"
_IDS = {name: at for at, name in enumerate((SERVICES, WIDE, STICKY, LOCAL, ADDRESSES, HAIRPIN), 1)}
_KEY = (7 << 18 | 12 << 12 | 13 << 6 | 19, 16)  # ipv4_addr . inet_proto . inet_service . mark, as nft prints it
_TARGET = (7 << 6 | 13, 8)
_ADDRESS, _PAIR = (7, 4), (7 << 6 | 7, 8)
_WIDTHS = {SERVICES: slots.NARROW, WIDE: slots.WIDE, STICKY: slots.STICKY}
_SEED = 0x57686572  # any constant: a client must hash the same after a restart

PAYLOAD_BYTES_MAX = 64 * 1024
"""One transaction: small enough for the launcher's datagrams and for a socket buffer that nobody may enlarge."""
_ELEMENTS_MAX = 400
"""Elements of one message: the list's length is a 16-bit number."""

Element = tuple[str, bytes]
"""(set, key)."""


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """The addresses of this node's network, and the port of netd's egress listener inside it."""

    pods: str = "10.244.0.0/16"
    services: str = "10.96.0.0/16"
    gateway: str = "10.244.0.1"
    local: tuple[str, ...] = ("10.96.0.1", "10.96.0.10")
    gateway_ports: tuple[int, ...] = (6443,)
    """TCP ports at which the gateway itself is meant: the API server listens there. All others are the machine's."""
    egress_port: int = 15001
    node_addresses: tuple[str, ...] = ("10.244.0.1",)
    """Addresses of the node at which pods reach node ports; on others egress leads them to the host's listeners."""


def _cidr(cidr: str) -> tuple[bytes, bytes]:
    address, _, length = cidr.partition("/")
    mask = (0xFFFFFFFF << (32 - int(length))) & 0xFFFFFFFF
    return socket.inet_aton(address), struct.pack(">I", mask)


def within(address: str, cidr: str) -> bool:
    network, mask = (struct.unpack(">I", part)[0] for part in _cidr(cidr))
    return bool(struct.unpack(">I", socket.inet_aton(address))[0] & mask == network & mask)


# --- the table --------------------------------------------------------------------------------------------------------


def skeleton(table: str, network: NodeNetwork, sticky: bool = True) -> list[nf.Message]:
    """The table with its maps and regular chains; nothing reaches it before `hooks`. Replaces what was left half built.

    Without `sticky` the rule that needs the kernel's `hash` expression is left out.
    """
    messages = [nf.new_table(table), nf.delete_table(table), nf.new_table(table)]
    messages += [nf.new_set(table, name, _IDS[name], _KEY, _TARGET) for name in _WIDTHS]
    messages += [nf.new_set(table, name, _IDS[name], _ADDRESS) for name in (LOCAL, ADDRESSES)]
    messages.append(nf.new_set(table, HAIRPIN, _IDS[HAIRPIN], _PAIR))
    messages += [nf.new_chain(table, chain) for chain in ("service", "refuse", "nat", "egress")]
    messages += _service_rules(table, sticky) + _refuse_rules(table) + _nat_rules(table, network)
    messages.append(nf.add_elements(table, LOCAL, [(socket.inet_aton(ip), None) for ip in network.local]))
    return messages


def hooks(table: str, network: NodeNetwork) -> list[nf.Message]:
    """The base chains that bring the table to life, with their rules."""
    r = nf.REG32[0]
    return [
        nf.new_chain(table, "prerouting", PREROUTING),
        nf.new_chain(table, "output", OUTPUT),
        nf.new_chain(table, "postrouting", POSTROUTING),
        nf.new_chain(table, "forward", FORWARD),
        nf.new_rule(table, "prerouting", nf.verdict(nf.NFT_JUMP, "nat")),
        nf.new_rule(table, "prerouting", nf.verdict(nf.NFT_GOTO, "egress")),
        # Sockets of the node's namespace, which netd and the API server dial services with.
        nf.new_rule(table, "output", nf.verdict(nf.NFT_GOTO, "nat")),
        # A pod that reaches itself through a service would drop a packet from its own address.
        nf.new_rule(
            table, "postrouting", nf.load_network(12, 4, r), nf.load_network(16, 4, nf.REG32[1]),
            nf.lookup(HAIRPIN, _IDS[HAIRPIN], r),
            nf.load_constant(socket.inet_aton(network.gateway), r), nf.snat(r),
        ),
        # The default route leads to lo, for the output hook's sake: what is forwarded there has nowhere to go.
        nf.new_rule(
            table, "forward", nf.load_meta(nf.META_OIF, r), nf.equal(r, struct.pack("=I", 1)), nf.reject_icmp(9)
        ),
    ]  # fmt: skip


def switch(live: str | None, table: str, network: NodeNetwork) -> list[nf.Message]:
    """Make `table` the live one in the transaction that removes `live`."""
    return hooks(table, network) + ([nf.delete_table(live)] if live else [])


def _in_cidr(cidr: str) -> tuple[bytes, ...]:
    network, mask = _cidr(cidr)
    r = nf.REG32[0]
    return nf.load_network(16, 4, r), nf.mask(r, mask), nf.equal(r, network)


def _service_rules(table: str, sticky: bool) -> list[nf.Message]:
    """Three ways to choose the fourth field of the key, then the same lookup and translation."""
    a, proto, port, slot, target, target_port = nf.REG32[:6]
    address = (nf.load_network(16, 4, a), nf.load_meta(nf.META_L4PROTO, proto), nf.load_transport(2, 2, port))
    choices: dict[str, tuple[bytes, ...]] = {
        SERVICES: (*address, nf.load_random(slots.NARROW, slot)),
        WIDE: (*address, nf.load_random(slots.WIDE, slot)),
    }
    if sticky:
        # The client's address is hashed where the key's first field will be, before that is loaded.
        client = (nf.load_network(12, 4, a), nf.load_hash(a, 4, slots.STICKY, _SEED, slot))
        choices[STICKY] = (*client, *address)
    return [
        nf.new_rule(table, "service", *choice, nf.lookup(name, _IDS[name], a, target), nf.dnat(target, target_port))
        for name, choice in choices.items()
    ]


def _refuse_rules(table: str) -> list[nf.Message]:
    """Refused as by a machine with nothing listening: a reset for TCP, port unreachable for the rest."""
    r = nf.REG32[0]
    return [
        nf.new_rule(table, "refuse", nf.load_meta(nf.META_L4PROTO, r), nf.equal(r, b"\6"), nf.reject_reset()),
        nf.new_rule(table, "refuse", nf.reject_icmp(3)),
    ]


def _nat_rules(table: str, network: NodeNetwork) -> list[nf.Message]:
    r = nf.REG32[0]
    daddr = nf.load_network(16, 4, r)
    gateway = socket.inet_aton(network.gateway)
    return [
        nf.new_rule(table, "nat", daddr, nf.lookup(LOCAL, _IDS[LOCAL], r), nf.verdict(nf.NF_ACCEPT)),
        nf.new_rule(table, "nat", nf.verdict(nf.NFT_JUMP, "service")),
        nf.new_rule(
            table, "nat", daddr, nf.lookup(ADDRESSES, _IDS[ADDRESSES], r), nf.verdict(nf.NFT_GOTO, "refuse")
        ),
        nf.new_rule(
            table, "egress", *_in_cidr(network.pods), nf.load_network(16, 4, r), nf.differs(r, gateway),
            nf.verdict(nf.NF_ACCEPT),
        ),
        nf.new_rule(table, "egress", *_in_cidr(network.services), nf.verdict(nf.NF_ACCEPT)),
        *(
            nf.new_rule(
                table, "egress", daddr, nf.equal(r, gateway), nf.load_meta(nf.META_L4PROTO, r), nf.equal(r, b"\6"),
                nf.load_transport(2, 2, r), nf.equal(r, struct.pack(">H", port)), nf.verdict(nf.NF_ACCEPT),
            )
            for port in network.gateway_ports
        ),
        nf.new_rule(
            table, "egress", nf.load_meta(nf.META_L4PROTO, r), nf.equal(r, b"\6"),
            nf.load_constant(gateway, r), nf.load_constant(struct.pack(">H", network.egress_port), nf.REG32[1]),
            nf.dnat(r, nf.REG32[1]),  # not `redirect`, which needs an address on the pod's own veth
        ),
    ]  # fmt: skip


# --- the elements -----------------------------------------------------------------------------------------------------


class Ruleset:
    """What the maps of one table hold, by service. `change` moves it and says which messages make it so."""

    def __init__(self, table: str, network: NodeNetwork, sticky: bool = True) -> None:
        self.table = table
        self._network = network
        self._sticky = sticky
        self._services: dict[str, dict[Element, bytes | None]] = {}
        self._slots: dict[str, dict[tuple[str, str, str, int], Sequence[Backend]]] = {}
        self._owners: dict[Element, dict[str, None]] = {}
        """Who asks for an element; the first one's data is what the kernel holds."""

    def keys(self) -> set[str]:
        """The services it holds."""
        return set(self._services)

    def change(self, key: str, record: ServiceRecord | None) -> list[nf.Message]:
        """The messages, of one transaction, that replace service `key`'s elements; empty when nothing changes."""
        assert record is None or record.key == key
        old = self._services.pop(key, {})
        new = self._elements(key, record) if record else {}
        if new:
            self._services[key] = new
        else:
            self._slots.pop(key, None)
        if old == new:
            return []
        removed: list[Element] = []
        added: list[tuple[Element, bytes | None]] = []
        for element, data in old.items():
            if element not in new or new[element] != data:
                self._release(key, element, removed, added)
        for element, data in new.items():
            if element not in old or old[element] != data:
                owners = self._owners.setdefault(element, {})
                owners[key] = None
                if len(owners) == 1:
                    added.append((element, data))
        return self._messages(removed, added)

    def _release(
        self, key: str, element: Element, removed: list[Element], added: list[tuple[Element, bytes | None]]
    ) -> None:
        owners = self._owners[element]
        first = next(iter(owners)) == key
        del owners[key]
        if not owners:
            del self._owners[element]
        heir = next(iter(owners), None)
        if first:
            data = self._services[heir][element] if heir else None
            if heir and data is None:
                return  # a plain set: the heir's element is the same
            removed.append(element)
            if heir:
                added.append((element, data))

    def _messages(self, removed: Iterable[Element], added: Iterable[tuple[Element, bytes | None]]) -> list[nf.Message]:
        """Deletions first: an element is replaced by deleting and adding it in the same transaction."""
        gone: dict[str, list[bytes]] = {}
        for name, key in removed:
            gone.setdefault(name, []).append(key)
        come: dict[str, list[tuple[bytes, bytes | None]]] = {}
        for (name, key), data in added:
            come.setdefault(name, []).append((key, data))
        return [
            nf.delete_elements(self.table, name, keys[at : at + _ELEMENTS_MAX])
            for name, keys in gone.items()
            for at in range(0, len(keys), _ELEMENTS_MAX)
        ] + [
            nf.add_elements(self.table, name, pairs[at : at + _ELEMENTS_MAX])
            for name, pairs in come.items()
            for at in range(0, len(pairs), _ELEMENTS_MAX)
        ]

    def _elements(self, key: str, record: ServiceRecord) -> dict[Element, bytes | None]:
        elements: dict[Element, bytes | None] = {}
        before, self._slots[key] = self._slots.get(key, {}), {}
        addresses = [ip for ip in (record.cluster_ip, *record.addresses) if ip and ip not in self._network.local]
        for ip in addresses:
            elements[ADDRESSES, socket.inet_aton(ip)] = None
        for port in record.ports:
            for ip in addresses:
                self._route(elements, before, record, port, (ip, port.port), port.backends)
            if port.node_port:
                for ip in self._network.node_addresses:
                    self._route(elements, before, record, port, (ip, port.node_port), port.through_node)
        return elements

    def _route(
        self,
        elements: dict[Element, bytes | None],
        before: Mapping[tuple[str, str, str, int], Sequence[Backend]],
        record: ServiceRecord,
        port: ServicePort,
        at: tuple[str, int],
        backends: Sequence[Backend],
    ) -> None:
        """Add the elements that lead the address and port `at` to `backends`; `before` is where its slots led."""
        backends = reachable(port.protocol, backends, self._network)
        if not backends:
            return
        name = _map_of(record, backends, self._sticky)
        where = (name, at[0], port.protocol, at[1])
        if name == STICKY:
            chosen = slots.sticky(backends)
        else:
            chosen = self._slots[record.key][where] = slots.balanced(backends, _WIDTHS[name], before.get(where))
        prefix = socket.inet_aton(at[0]) + struct.pack(">B3xH2x", PROTOCOLS[port.protocol], at[1])
        targets = {b: socket.inet_aton(b.ip) + struct.pack(">H2x", b.port) for b in backends}
        for slot, backend in enumerate(chosen):
            elements[name, prefix + struct.pack("=I", slot)] = targets[backend]
        for backend in backends:
            elements[HAIRPIN, socket.inet_aton(backend.ip) * 2] = None


def _map_of(record: ServiceRecord, backends: Sequence[Backend], sticky: bool) -> str:
    if record.sticky and sticky:
        return STICKY
    return WIDE if len(backends) > slots.NARROW_BACKENDS_MAX else SERVICES


def reachable(protocol: str, backends: Sequence[Backend], network: NodeNetwork) -> tuple[Backend, ...]:
    """Pods as they are; all others, for TCP, as one backend: netd's egress listener, which dials them from the host.

    netd sees the service's address as the original destination and chooses among the outside backends itself.
    """
    inside = tuple(b for b in backends if within(b.ip, network.pods) and b.ip != network.gateway)
    outside = len(inside) < len(backends) and protocol == "TCP"
    return (*inside, Backend(network.gateway, network.egress_port)) if outside else inside


def payloads(groups: Iterable[Sequence[nf.Message]]) -> list[list[nf.Message]]:
    """Join transactions into fewer, none longer than PAYLOAD_BYTES_MAX unless one group alone is; groups stay whole."""
    out: list[list[nf.Message]] = []
    size = PAYLOAD_BYTES_MAX + 1
    for group in groups:
        length = sum(map(len, group))
        if size + length > PAYLOAD_BYTES_MAX:
            out.append([])
            size = 0
        out[-1].extend(group)
        size += length
    return [group for group in out if group]


def plan(ruleset: Ruleset, records: Mapping[str, ServiceRecord | None]) -> list[list[nf.Message]]:
    """The transactions that bring these services up to date, others untouched."""
    return payloads(ruleset.change(key, record) for key, record in records.items())
