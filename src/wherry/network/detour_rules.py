"""What leads packets between chosen pods past netd: a mark, a rule and a route to a device that ends at netd's socket.

    prerouting, after service addresses have become pods':  source in `from-n`, target in `to-n`  ->  mark
    ip rule   marked -> table 77;   table 77   default dev chaos0
    chaos0 <-> chaos1   a veth pair without ARP: whatever enters the one comes out of the other, where netd's socket is

Is: pure; the bytes for rtnetlink and nf_tables. Is not: the socket, nor what happens to a packet (`detour.py`).
Always true: none of this exists while no fault holds, so that traffic then costs what it always costs; packets that no fault
is about cost one look-up per fault. The stack drops what comes out of `chaos1` (it is addressed to another host), so that
only the socket sees it; it has passed connection tracking then, and what the socket sends to a pod does not again.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator

from wherry.chaos.between import Line
from wherry.network import nfnetlink as nf
from wherry.network import ruleset
from wherry.network.nfnetlink import Message, attr, nest, text

TABLE = "wherry-chaos"
NETLINK_ROUTE = 0
ENTRY, EXIT = "chaos0", "chaos1"
_ENTRY_INDEX, _EXIT_INDEX = 2_000_000_000, 2_000_000_001
"""Chosen by us, far from those the launcher counts up for pods."""
MARK, ROUTES, PRIORITY = 0x77, 77, 77

# linux/rtnetlink.h, if_link.h, fib_rules.h
_NEWLINK, _DELLINK, _NEWROUTE, _GETROUTE, _NEWRULE, _DELRULE = 16, 17, 24, 26, 32, 33
_EXCLUSIVE = 0x200
_UP, _NOARP = 0x1, 0x80
_IFNAME, _LINKINFO, _INFO_KIND, _INFO_DATA, _VETH_PEER = 3, 18, 1, 2, 1
_DST, _OIF = 1, 4
_RULE_PRIORITY, _RULE_MARK = 6, 10
_MAIN, _BOOT, _LINK_SCOPE, _UNICAST, _TO_TABLE = 254, 3, 253, 1, 1
_PREROUTING, _AFTER_DNAT = 0, -90
_ELEMENTS_MAX = 400


# --- the device and the way to it ---------------------------------------------------------------------------------------


def way() -> bytes:
    """Device, route and rule, each acknowledged; none of them may exist (`straight`, `no_device`)."""
    peer = _link(_EXIT_INDEX) + text(_IFNAME, EXIT)
    info = text(_INFO_KIND, "veth") + nest(_INFO_DATA, attr(_VETH_PEER, peer))
    device = _link(_ENTRY_INDEX, _UP | _NOARP) + text(_IFNAME, ENTRY) + nest(_LINKINFO, info)
    # rtmsg: family, destination bits, source bits, tos, table, protocol, scope, type, flags
    route = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, ROUTES, _BOOT, _LINK_SCOPE, _UNICAST, 0)
    return _acknowledged(
        Message(_NEWLINK, nf.NLM_F_CREATE | _EXCLUSIVE, device),
        Message(_NEWLINK, 0, _link(_EXIT_INDEX, _UP)),
        Message(_NEWROUTE, nf.NLM_F_CREATE, route + attr(_OIF, struct.pack("=I", _ENTRY_INDEX))),
        Message(_NEWRULE, nf.NLM_F_CREATE | _EXCLUSIVE, _rule()),
    )


def straight() -> bytes:
    """Let packets go straight again; without the rule there is nothing to remove, and that is refused."""
    return _acknowledged(Message(_DELRULE, 0, _rule()))


def no_device() -> bytes:
    """Remove the device, and the route with it, likewise."""
    return _acknowledged(Message(_DELLINK, 0, _link(_ENTRY_INDEX)))


def _acknowledged(*messages: Message) -> bytes:
    return b"".join(each.encode(at + 1, nf.NLM_F_ACK) for at, each in enumerate(messages))


def _link(index: int, flags: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, flags)


def _rule() -> bytes:
    # fib_rule_hdr: family, destination bits, source bits, tos, table, two reserved, action, flags
    head = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, ROUTES, 0, 0, _TO_TABLE, 0)
    return head + attr(_RULE_PRIORITY, struct.pack("=I", PRIORITY)) + attr(_RULE_MARK, struct.pack("=I", MARK))


# --- which packets ------------------------------------------------------------------------------------------------------


def marks(lines: Iterable[Line]) -> list[list[Message]]:
    """The transactions, in order, after which packets of these lines are marked and no others."""
    begin = [*no_marks(), nf.new_table(TABLE), nf.new_chain(TABLE, "mark", ("filter", _PREROUTING, _AFTER_DNAT))]
    elements: list[Message] = []
    rules: list[Message] = []
    source, target = nf.REG32[:2]
    for at, line in enumerate(lines):
        loads: list[bytes] = []
        for name, id_, addresses, offset, register in (
            (f"from-{at}", 2 * at + 1, line.sources, 12, source),
            (f"to-{at}", 2 * at + 2, line.targets, 16, target),
        ):
            begin.append(nf.new_set(TABLE, name, id_, (7, 4)))
            elements += _elements(name, sorted(addresses))
            loads += [nf.load_network(offset, 4, register), nf.lookup(name, id_, register)]
        mark = (nf.load_constant(struct.pack("=I", MARK), source), nf.set_meta(nf.META_MARK, source))
        rules.append(nf.new_rule(TABLE, "mark", *loads, *mark, nf.verdict(nf.NF_ACCEPT)))
    return ruleset.payloads([begin, *([each] for each in elements), *([each] for each in rules)])


def no_marks() -> list[Message]:
    """Whether or not there are any."""
    return [nf.new_table(TABLE), nf.delete_table(TABLE)]


def _elements(name: str, addresses: list[str]) -> Iterator[Message]:
    for at in range(0, len(addresses), _ELEMENTS_MAX):
        keys = ((socket.inet_aton(each), None) for each in addresses[at : at + _ELEMENTS_MAX])
        yield nf.add_elements(TABLE, name, keys)


# --- where pods are -----------------------------------------------------------------------------------------------------


def all_routes() -> bytes:
    """The question for every route."""
    head = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    return Message(_GETROUTE, nf.NLM_F_DUMP, head).encode(1)


def devices(answer: bytes) -> dict[str, int]:
    """Address -> index of the device that leads to it, of the main table's routes to single addresses."""
    found: dict[str, int] = {}
    for kind, _, body in nf.replies(answer):
        if kind != _NEWROUTE or len(body) < 12 or body[1] != 32 or body[4] != _MAIN:
            continue
        values = dict(nf.attributes(body[12:]))
        if _DST in values and _OIF in values:
            found[socket.inet_ntoa(values[_DST])] = struct.unpack("=I", values[_OIF])[0]
    return found
