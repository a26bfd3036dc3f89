"""The bytes of nfnetlink (linux/netfilter/nfnetlink.h, nf_tables.h): messages, expressions, batches, replies.

Is: a sans-IO encoder for what `nftables.py` says, and a decoder for the kernel's answers. Is not: the rules themselves,
nor a socket; the launcher sends the bytes inside the node's network namespace.
Always true: attributes are padded to four bytes, numbers inside them are big-endian, netlink headers are in host order.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

NETLINK_NETFILTER = 12
SUBSYS_CTNETLINK = 1
SUBSYS_NFTABLES = 10

NLM_F_REQUEST, NLM_F_ACK = 0x1, 0x4
NLM_F_CREATE, NLM_F_APPEND, NLM_F_DUMP = 0x400, 0x800, 0x300
NLMSG_ERROR = 2
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11

NEWTABLE, DELTABLE, NEWCHAIN, GETCHAIN, DELCHAIN, NEWRULE, DELRULE, NEWSET, DELSET = 0, 2, 3, 4, 5, 6, 8, 9, 11
NEWSETELEM, DELSETELEM = 12, 14

REG_VERDICT = 0
REG32 = tuple(range(8, 24))
"""The sixteen four-byte registers; consecutive ones hold the fields of a concatenated key."""

NF_ACCEPT = 1
NFT_JUMP, NFT_GOTO = -3, -4

_NLA_F_NESTED = 0x8000
_HEADER = struct.Struct("=IHHII")
_NFGEN = struct.Struct(">BBH")
_ATTR = struct.Struct("=HH")


class NetlinkError(Exception):
    """The kernel refused a message: `errno`, and the index of the message in its batch (-1: the batch as a whole)."""

    def __init__(self, errno: int, index: int, hint: str = "") -> None:
        super().__init__(f"netlink message {index}: {os.strerror(errno)} ({errno})" + (f"; {hint}" if hint else ""))
        self.errno = errno
        self.index = index


@dataclass(frozen=True, slots=True)
class Message:
    """One netlink message before it has a sequence number: `type` with its subsystem, extra flags, body."""

    type: int
    flags: int
    body: bytes

    def __len__(self) -> int:
        return 16 + len(self.body)

    def encode(self, seq: int, flags: int = 0) -> bytes:
        return _HEADER.pack(len(self), self.type, NLM_F_REQUEST | self.flags | flags, seq, 0) + self.body


# --- attributes -----------------------------------------------------------------------------------------------------


def attr(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return _ATTR.pack(length, kind) + value + bytes(-length & 3)


def nest(kind: int, *parts: bytes) -> bytes:
    return attr(kind | _NLA_F_NESTED, b"".join(parts))


def text(kind: int, value: str) -> bytes:
    return attr(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """A 32-bit number in network order."""
    return attr(kind, struct.pack(">I", value & 0xFFFFFFFF))


def octet(kind: int, value: int) -> bytes:
    return attr(kind, bytes((value,)))


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind without flags, value) of each attribute; stops at the first malformed one."""
    at = 0
    while at + 4 <= len(data):
        length, kind = _ATTR.unpack_from(data, at)
        if length < 4 or at + length > len(data):
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


# --- nf_tables messages -----------------------------------------------------------------------------------------------


def nftables(kind: int, *parts: bytes, flags: int = 0, family: int = socket.AF_INET) -> Message:
    """A message of the nf_tables subsystem for the `ip` family."""
    return Message(SUBSYS_NFTABLES << 8 | kind, flags, _NFGEN.pack(family, 0, 0) + b"".join(parts))


def new_table(table: str) -> Message:
    return nftables(NEWTABLE, text(1, table), number(2, 0), flags=NLM_F_CREATE)


def delete_table(table: str) -> Message:
    """With everything in it."""
    return nftables(DELTABLE, text(1, table))


def new_chain(table: str, chain: str, hook: tuple[str, int, int] | None = None) -> Message:
    """A chain; with `hook` = (type, hook number, priority) a base chain whose policy is accept."""
    parts = [text(1, table), text(3, chain)]
    if hook is not None:
        kind, point, priority = hook
        parts += [nest(4, number(1, point), number(2, priority)), number(5, NF_ACCEPT), text(7, kind)]
    return nftables(NEWCHAIN, *parts, flags=NLM_F_CREATE)


def get_chain(table: str, chain: str) -> Message:
    return nftables(GETCHAIN, text(1, table), text(3, chain))


def new_rule(table: str, chain: str, *expressions: bytes) -> Message:
    """Append a rule; expressions run left to right until one does not match."""
    return nftables(NEWRULE, text(1, table), text(2, chain), nest(4, *expressions), flags=NLM_F_CREATE | NLM_F_APPEND)


def flush_chain(table: str, chain: str) -> Message:
    """Remove the rules of a chain."""
    return nftables(DELRULE, text(1, table), text(2, chain))


def delete_chain(table: str, chain: str) -> Message:
    """The chain is empty and nothing leads to it."""
    return nftables(DELCHAIN, text(1, table), text(3, chain))


def delete_set(table: str, name: str) -> Message:
    """No rule looks it up."""
    return nftables(DELSET, text(1, table), text(2, name))


def new_set(table: str, name: str, id_: int, key: tuple[int, int], data: tuple[int, int] | None = None) -> Message:
    """A set, or with `data` a map. `key` and `data` are (nft data type, bytes); `id_` is unique in its batch."""
    parts = [text(1, table), text(2, name), number(3, 8 if data else 0), number(4, key[0]), number(5, key[1])]
    if data:
        parts += [number(6, data[0]), number(7, data[1])]
    return nftables(NEWSET, *parts, number(10, id_), flags=NLM_F_CREATE)


def add_elements(table: str, name: str, elements: Iterable[tuple[bytes, bytes | None]]) -> Message:
    """Elements (key, data or None)."""
    parts = [
        nest(1, nest(1, attr(1, key)), nest(2, attr(1, data)) if data is not None else b"") for key, data in elements
    ]
    return nftables(NEWSETELEM, text(1, table), text(2, name), nest(3, *parts), flags=NLM_F_CREATE)


def delete_elements(table: str, name: str, keys: Iterable[bytes]) -> Message:
    parts = [nest(1, nest(1, attr(1, key))) for key in keys]
    return nftables(DELSETELEM, text(1, table), text(2, name), nest(3, *parts))


# --- expressions ------------------------------------------------------------------------------------------------------


def _expression(name: str, *parts: bytes) -> bytes:
    return nest(1, text(1, name), nest(2, *parts))


def load_network(offset: int, length: int, register: int) -> bytes:
    """Bytes of the IPv4 header: saddr 12, daddr 16."""
    return _expression("payload", number(1, register), number(2, 1), number(3, offset), number(4, length))


def load_transport(offset: int, length: int, register: int) -> bytes:
    """Bytes of the transport header: destination port 2."""
    return _expression("payload", number(1, register), number(2, 2), number(3, offset), number(4, length))


META_MARK, META_OIF, META_L4PROTO = 3, 5, 16


def load_meta(key: int, register: int) -> bytes:
    return _expression("meta", number(1, register), number(2, key))


def set_meta(key: int, register: int) -> bytes:
    """Give the packet what is in `register`, such as its mark (in host order)."""
    return _expression("meta", number(2, key), number(3, register))


def load_random(modulus: int, register: int) -> bytes:
    """A random number below `modulus`, in host order."""
    return _expression("numgen", number(1, register), number(2, modulus), number(3, 1), number(4, 0))


def load_hash(source: int, length: int, modulus: int, seed: int, register: int) -> bytes:
    """Jenkins hash of `length` bytes from register `source`, below `modulus`, in host order."""
    return _expression(
        "hash",
        number(1, source), number(2, register), number(3, length), number(4, modulus), number(5, seed), number(7, 0),
    )  # fmt: skip


def load_constant(value: bytes, register: int) -> bytes:
    return _expression("immediate", number(1, register), nest(2, attr(1, value)))


def equal(register: int, value: bytes) -> bytes:
    return _expression("cmp", number(1, register), number(2, 0), nest(3, attr(1, value)))


def differs(register: int, value: bytes) -> bytes:
    return _expression("cmp", number(1, register), number(2, 1), nest(3, attr(1, value)))


def mask(register: int, value: bytes) -> bytes:
    """Keep the bits of `value` in `register`."""
    return _expression(
        "bitwise",
        number(1, register), number(2, register), number(3, len(value)),
        nest(4, attr(1, value)), nest(5, attr(1, bytes(len(value)))),
    )  # fmt: skip


def lookup(name: str, id_: int, source: int, target: int | None = None) -> bytes:
    """Match when the key at `source` is in the set; with `target` also load the map's data there."""
    parts = [text(1, name), number(2, source), number(4, id_)]
    return _expression("lookup", *parts, *([number(3, target)] if target is not None else []))


def dnat(address: int, port: int) -> bytes:
    """Destination NAT to the address and port in these registers."""
    return _expression("nat", number(1, 1), number(2, socket.AF_INET), number(3, address), number(5, port))


def snat(address: int) -> bytes:
    """Source NAT to the address in this register."""
    return _expression("nat", number(1, 0), number(2, socket.AF_INET), number(3, address))


def reject_reset() -> bytes:
    return _expression("reject", number(1, 1), octet(2, 0))


def reject_icmp(code: int) -> bytes:
    """ICMP destination unreachable: code 0 network, 1 host, 3 port."""
    return _expression("reject", number(1, 0), octet(2, code))


def verdict(code: int, chain: str = "") -> bytes:
    body = number(1, code) + (text(2, chain) if chain else b"")
    return _expression("immediate", number(1, REG_VERDICT), nest(2, nest(2, body)))


# --- batches and replies ----------------------------------------------------------------------------------------------


def batch(messages: Sequence[Message]) -> bytes:
    """One atomic transaction. The last message asks for an ACK; errors are answered whether asked for or not.

    Message n has sequence number n + 1, the batch itself 0.
    """
    edge = _NFGEN.pack(socket.AF_UNSPEC, 0, SUBSYS_NFTABLES)
    last = len(messages) - 1
    return b"".join((
        Message(_BATCH_BEGIN, 0, edge).encode(0),
        *(m.encode(i + 1, NLM_F_ACK if i == last else 0) for i, m in enumerate(messages)),
        Message(_BATCH_END, 0, edge).encode(0),
    ))  # fmt: skip


def replies(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, sequence number, body) of each netlink message received."""
    at = 0
    while at + 16 <= len(data):
        length, kind, _flags, seq, _pid = _HEADER.unpack_from(data, at)
        if length < 16 or at + length > len(data):
            return
        yield kind, seq, data[at + 16 : at + length]
        at += (length + 3) & ~3


def check(data: bytes) -> None:
    """Raise NetlinkError for the first refusal in the kernel's answer to a batch; no ACK at all is a refusal too."""
    answered = False
    for kind, seq, body in replies(data):
        if kind == NLMSG_ERROR:
            (code,) = struct.unpack_from("=i", body)
            if code:
                raise NetlinkError(-code, seq - 1)
            answered = True
    if not answered:
        raise NetlinkError(71, -1)  # EPROTO: the transaction was not answered
