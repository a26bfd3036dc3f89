"""The static half of the service rules: what kube-proxy's nftables mode does, as one table of rules over maps.

Is: pure; which rules there are and how one set of them replaces another. Is not: what the maps hold (`ruleset.py`), the
bytes (`nfnetlink.py`) or a socket (`kernel_sync.py`).

A connection is decided once, by its first packet (nat chains see no others):
    destination in `local`                     -> accepted: the API server and DNS, sockets of Wherry itself
    (daddr . proto . dport . random 60)        -> `services` gives the pod's address and port
    (daddr . proto . dport . random 840)       -> `wide`, for services with more than 12 backends
    (daddr . proto . dport . jhash(saddr) 240) -> `sticky`, for sessionAffinity ClientIP
    destination in `addresses`                 -> refused: a service without endpoints, or not a port of it
    any other TCP that leaves the pod network  -> netd's egress listener
Always true: the table and its base chains are never removed. Everything else exists in a generation, `-a` or `-b`; a
resync builds the other one, lets the base chains lead there in one transaction, and removes the old one in the next. Not
in the same: the kernel hides the elements of a removed map at once, also from a packet that still follows the old rules,
and that packet's connection would be refused (seen: 1 of some 100,000 connections made during resyncs).
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from wherry.network import nfnetlink as nf
from wherry.network import slots

TABLE = "wherry"
GENERATIONS = ("a", "b")
_HOOKS = {
    "prerouting": ("nat", 0, -100),
    "forward": ("filter", 2, 0),
    "output": ("nat", 3, -100),
    "postrouting": ("nat", 4, 100),
}
"""Base chains: (type, hook, priority), those of dstnat, filter and srcnat."""
_CHAINS = (*(f"{hook}-do" for hook in _HOOKS), "nat", "egress", "service", "refuse")
"""Of one generation, those that lead to others first."""

SERVICES, WIDE, STICKY, LOCAL, ADDRESSES, HAIRPIN = "services", "wide", "sticky", "local", "addresses", "hairpin"
_IDS = {name: at for at, name in enumerate((SERVICES, WIDE, STICKY, LOCAL, ADDRESSES, HAIRPIN), 1)}
_KEY = (7 << 18 | 12 << 12 | 13 << 6 | 19, 16)  # ipv4_addr . inet_proto . inet_service . mark, as nft prints it
_TARGET = (7 << 6 | 13, 8)
_ADDRESS, _PAIR = (7, 4), (7 << 6 | 7, 8)
WIDTHS = {SERVICES: slots.NARROW, WIDE: slots.WIDE, STICKY: slots.STICKY}
_SHAPES = {
    **dict.fromkeys(WIDTHS, (_KEY, _TARGET)),
    **dict.fromkeys((LOCAL, ADDRESSES), (_ADDRESS,)),
    HAIRPIN: (_PAIR,),
}
_SEED = 0x57686572  # any constant: a client must hash the same after a restart


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


# --- one generation ---------------------------------------------------------------------------------------------------


def name_in(generation: str, name: str) -> str:
    """What a map or chain of a generation is called."""
    return f"{name}-{generation}"


def build(generation: str, network: NodeNetwork, sticky: bool = True) -> list[nf.Message]:
    """The table, and a generation of rules and empty maps that nothing leads to yet. It must not exist (`wipe`).

    Without `sticky` the rule that needs the kernel's `hash` expression is left out.
    """
    local = [(socket.inet_aton(ip), None) for ip in network.local]
    rules = _Rules(generation, network)
    return [
        nf.new_table(TABLE),
        *(nf.new_chain(TABLE, chain, hook) for chain, hook in _HOOKS.items()),
        *(nf.new_set(TABLE, name_in(generation, name), _IDS[name], *shape) for name, shape in _SHAPES.items()),
        *(nf.new_chain(TABLE, name_in(generation, chain)) for chain in _CHAINS),
        *rules.service(sticky),
        *rules.refuse(),
        *rules.nat(),
        *rules.egress(),
        *rules.hooks(),
        nf.add_elements(TABLE, name_in(generation, LOCAL), local),
    ]


def wipe(generation: str) -> list[nf.Message]:
    """Remove a generation that nothing leads to; also one that is half built, or not there at all."""
    chains = [name_in(generation, chain) for chain in _CHAINS]
    return [
        nf.new_table(TABLE),
        *(nf.new_chain(TABLE, chain) for chain in chains),
        *(nf.flush_chain(TABLE, chain) for chain in chains),
        *(nf.delete_chain(TABLE, chain) for chain in chains),
        *(nf.new_set(TABLE, name_in(generation, name), _IDS[name], *shape) for name, shape in _SHAPES.items()),
        *(nf.delete_set(TABLE, name_in(generation, name)) for name in _SHAPES),
    ]


def switch(live: str | None, generation: str) -> list[nf.Message]:
    """Let the base chains lead to `generation` instead of `live`, and leave the mark that says so."""
    return [
        *(nf.flush_chain(TABLE, chain) for chain in _HOOKS),
        *(nf.new_rule(TABLE, chain, nf.verdict(nf.NFT_GOTO, name_in(generation, f"{chain}-do"))) for chain in _HOOKS),
        nf.new_chain(TABLE, mark(generation)),
        *([nf.delete_chain(TABLE, mark(live))] if live else []),
    ]


def mark(generation: str) -> str:
    """An empty chain that exists while the generation is live: one question instead of reading rules back."""
    return name_in(generation, "live")


# --- its rules --------------------------------------------------------------------------------------------------------

_R = nf.REG32[0]
_DADDR = nf.load_network(16, 4, _R)
_IS_TCP = (nf.load_meta(nf.META_L4PROTO, _R), nf.equal(_R, b"\6"))


def _in_cidr(cidr: str) -> tuple[bytes, ...]:
    network, mask = _cidr(cidr)
    return _DADDR, nf.mask(_R, mask), nf.equal(_R, network)


class _Rules:
    """The rules of one generation, chain by chain."""

    def __init__(self, generation: str, network: NodeNetwork) -> None:
        self._generation = generation
        self._network = network
        self._gateway = socket.inet_aton(network.gateway)

    def _rule(self, chain: str, *expressions: bytes) -> nf.Message:
        return nf.new_rule(TABLE, name_in(self._generation, chain), *expressions)

    def _lookup(self, name: str, source: int, target: int | None = None) -> bytes:
        return nf.lookup(name_in(self._generation, name), _IDS[name], source, target)

    def _jump(self, chain: str) -> bytes:
        return nf.verdict(nf.NFT_JUMP, name_in(self._generation, chain))

    def _goto(self, chain: str) -> bytes:
        return nf.verdict(nf.NFT_GOTO, name_in(self._generation, chain))

    def hooks(self) -> list[nf.Message]:
        """What the base chains lead to."""
        return [
            self._rule("prerouting-do", self._jump("nat")),
            self._rule("prerouting-do", self._goto("egress")),
            # Sockets of the node's namespace, which netd and the API server dial services with.
            self._rule("output-do", self._goto("nat")),
            # A pod that reaches itself through a service would drop a packet from its own address.
            self._rule(
                "postrouting-do", nf.load_network(12, 4, _R), nf.load_network(16, 4, nf.REG32[1]),
                self._lookup(HAIRPIN, _R), nf.load_constant(self._gateway, _R), nf.snat(_R),
            ),
            # The default route leads to lo, for the output hook's sake: what is forwarded there has nowhere to go.
            self._rule(
                "forward-do", nf.load_meta(nf.META_OIF, _R), nf.equal(_R, struct.pack("=I", 1)), nf.reject_icmp(9)
            ),
        ]  # fmt: skip

    def nat(self) -> list[nf.Message]:
        return [
            self._rule("nat", _DADDR, self._lookup(LOCAL, _R), nf.verdict(nf.NF_ACCEPT)),
            self._rule("nat", self._jump("service")),
            self._rule("nat", _DADDR, self._lookup(ADDRESSES, _R), self._goto("refuse")),
        ]

    def service(self, sticky: bool) -> list[nf.Message]:
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
            self._rule("service", *choice, self._lookup(name, a, target), nf.dnat(target, target_port))
            for name, choice in choices.items()
        ]

    def refuse(self) -> list[nf.Message]:
        """As by a machine with nothing listening: a reset for TCP, port unreachable for the rest."""
        return [self._rule("refuse", *_IS_TCP, nf.reject_reset()), self._rule("refuse", nf.reject_icmp(3))]

    def egress(self) -> list[nf.Message]:
        """What stays in the pod network, then everything else."""
        network, accept = self._network, nf.verdict(nf.NF_ACCEPT)
        to_gateway = (_DADDR, nf.equal(_R, self._gateway), *_IS_TCP, nf.load_transport(2, 2, _R))
        listener = struct.pack(">H", network.egress_port)
        return [
            self._rule("egress", *_in_cidr(network.pods), _DADDR, nf.differs(_R, self._gateway), accept),
            self._rule("egress", *_in_cidr(network.services), accept),
            *(
                self._rule("egress", *to_gateway, nf.equal(_R, struct.pack(">H", port)), accept)
                for port in network.gateway_ports
            ),
            # Not `redirect`, which needs an address on the pod's own veth.
            self._rule(
                "egress", *_IS_TCP, nf.load_constant(self._gateway, _R), nf.load_constant(listener, nf.REG32[1]),
                nf.dnat(_R, nf.REG32[1]),
            ),
        ]  # fmt: skip
