"""DNS messages (RFC 1035, 2782, 6891, 8914) as bytes: decode whatever comes, encode what we answer.

Is: sans-IO. Is not: a resolver or a zone. A name is a tuple of labels without the root, `(b"cart", b"shop")`; compare
with `fold`, since case does not count.
Always true: a malformed message raises WireError and nothing else; decoding looks at no byte outside the message and
takes time linear in its size; what `encode` makes is never longer than the limit it was given.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

Name: TypeAlias = tuple[bytes, ...]

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 15, 16, 28, 33, 41, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
QR, AA, TC, RD, RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE, _RCODE = 0x7800, 0x000F

UDP_SIZE_MIN = 512
UDP_SIZE_MAX = 4096
"""What we say we take; ethernet never sees these datagrams, the path is a veth."""
NAME_BYTES_MAX = 255
_POINTERS_MAX = 64  # a name has at most 127 labels; nobody's compression needs this many jumps

_HEAD = struct.Struct(">HHHHHH")
_QUESTION = struct.Struct(">HH")
_FIXED = struct.Struct(">HHIH")


class WireError(ValueError):
    """Not a DNS message that can be understood."""


class Question(NamedTuple):
    name: Name
    type: int
    klass: int = IN


class Record(NamedTuple):
    """A resource record. `data` is its rdata without compression; for OPT `klass` and `ttl` are what RFC 6891 says."""

    name: Name
    type: int
    ttl: int
    data: bytes
    klass: int = IN


@dataclass(frozen=True, slots=True)
class Message:
    id: int
    flags: int
    questions: Sequence[Question] = ()
    answers: Sequence[Record] = ()
    authorities: Sequence[Record] = ()
    additionals: Sequence[Record] = ()
    ttl_offsets: Sequence[int] = field(default=(), compare=False)
    """Where the TTLs of the decoded message lie, OPT's left out: a cache rewrites them."""

    @property
    def rcode(self) -> int:
        return self.flags & _RCODE

    @property
    def opcode(self) -> int:
        return (self.flags & _OPCODE) >> 11

    @property
    def edns(self) -> Record | None:
        return next((record for record in self.additionals if record.type == OPT), None)

    @property
    def udp_size(self) -> int:
        """How long an answer by datagram may be."""
        edns = self.edns
        return min(max(edns.klass, UDP_SIZE_MIN), UDP_SIZE_MAX) if edns else UDP_SIZE_MIN


# --- names --------------------------------------------------------------------------------------------------------------


def name(text: str) -> Name:
    """`cart.shop.` or `cart.shop` as labels. Raises WireError for an empty or overlong label."""
    labels = tuple(label.encode() for label in text.rstrip(".").split(".")) if text.strip(".") else ()
    encode_name(labels)
    return labels


def fold(labels: Name) -> Name:
    """For comparison: ASCII case does not count (RFC 4343)."""
    return tuple(label.lower() for label in labels)


def encode_name(labels: Name) -> bytes:
    """Without compression."""
    if not all(0 < len(label) < 64 for label in labels):
        raise WireError("a label has 1 to 63 bytes")
    data = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(data) > NAME_BYTES_MAX:
        raise WireError("a name has at most 255 bytes")
    return data


def decode_name(data: bytes, at: int) -> tuple[Name, int]:
    """The name at an offset, and the offset behind it."""
    labels: list[bytes] = []
    behind, jumps, length = -1, 0, 1
    while True:
        if at >= len(data):
            raise WireError("a name ends outside the message")
        size = data[at]
        if size == 0:
            return tuple(labels), behind if behind >= 0 else at + 1
        if size >= 0xC0:
            if at + 1 >= len(data):
                raise WireError("a pointer ends outside the message")
            behind = behind if behind >= 0 else at + 2
            target = (size & 0x3F) << 8 | data[at + 1]
            jumps += 1
            if target >= at or jumps > _POINTERS_MAX:
                raise WireError("a pointer must point backwards")
            at = target
            continue
        if size >= 0x40:
            raise WireError("unknown kind of label")
        labels.append(data[at + 1 : at + 1 + size])
        length += size + 1
        at += 1 + size
        if length > NAME_BYTES_MAX or at > len(data):
            raise WireError("a name is too long")


# --- rdata --------------------------------------------------------------------------------------------------------------


def soa_data(primary: Name, mailbox: Name, serial: int, refresh: int, retry: int, expire: int, minimum: int) -> bytes:
    return encode_name(primary) + encode_name(mailbox) + struct.pack(">5I", serial, refresh, retry, expire, minimum)


def srv_data(priority: int, weight: int, port: int, target: Name) -> bytes:
    return struct.pack(">HHH", priority, weight, port) + encode_name(target)


def txt_data(*strings: bytes) -> bytes:
    return b"".join(bytes((len(string),)) + string for string in strings)


def opt(payload: int = UDP_SIZE_MAX, error: tuple[int, str] | None = None) -> Record:
    """The EDNS pseudo record of an answer; `error` is an extended error (RFC 8914): code and text for people."""
    data = b""
    if error:
        info = struct.pack(">H", error[0]) + error[1].encode()[:200]
        data = struct.pack(">HH", 15, len(info)) + info
    return Record((), OPT, 0, data, payload)


def _rdata(data: bytes, kind: int, at: int, size: int) -> bytes:
    """The rdata with the names in it spelled out."""
    end = at + size
    if kind in (CNAME, PTR, NS):
        target, behind = decode_name(data, at)
        parts = encode_name(target)
    elif kind in (MX, SRV):
        fixed = at + (2 if kind == MX else 6)
        target, behind = decode_name(data, fixed)
        parts = data[at:fixed] + encode_name(target)
    elif kind == SOA:
        primary, middle = decode_name(data, at)
        mailbox, behind = decode_name(data, middle)
        parts = encode_name(primary) + encode_name(mailbox) + data[behind : behind + 20]
        behind += 20
    else:
        return data[at:end]
    if behind != end:
        raise WireError("rdata has the wrong length")
    return parts


# --- messages -----------------------------------------------------------------------------------------------------------


def decode(data: bytes) -> Message:
    """The whole message. Raises WireError."""
    if len(data) < 12:
        raise WireError("shorter than a header")
    id_, flags, *counts = _HEAD.unpack_from(data)
    at = 12
    questions: list[Question] = []
    sections: list[list[Record]] = [[], [], []]
    ttls: list[int] = []
    try:
        for _ in range(counts[0]):
            labels, at = decode_name(data, at)
            questions.append(Question(labels, *_QUESTION.unpack_from(data, at)))
            at += 4
        for section, count in zip(sections, counts[1:], strict=True):
            for _ in range(count):
                labels, at = decode_name(data, at)
                kind, klass, ttl, size = _FIXED.unpack_from(data, at)
                if kind != OPT:
                    ttls.append(at + 4)
                at += 10
                if at + size > len(data):
                    raise WireError("a record ends outside the message")
                section.append(Record(labels, kind, ttl, _rdata(data, kind, at, size), klass))
                at += size
    except struct.error:
        raise WireError("a record ends outside the message") from None
    answers, authorities, additionals = map(tuple, sections)
    return Message(id_, flags, tuple(questions), answers, authorities, additionals, ttls)


def encode(message: Message, limit: int = 65535) -> bytes:
    """The message in at most `limit` bytes: first additional records go, then answers, which sets TC (RFC 2181 9)."""
    full = _encode(message)
    if len(full) <= limit:
        return full
    edns = [record for record in message.additionals if record.type == OPT]
    less = Message(message.id, message.flags, message.questions, message.answers, message.authorities, edns)
    short = _encode(less)
    if len(short) <= limit:
        return short
    low, high = 0, len(message.answers)
    while low < high:  # the most answers that fit
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(_encode(_truncated(less, middle))) <= limit else (low, middle - 1)
    return _encode(_truncated(less, low))


def _truncated(message: Message, answers: int) -> Message:
    return Message(
        message.id, message.flags | TC, message.questions, message.answers[:answers], (), message.additionals
    )


def _encode(message: Message) -> bytes:
    sections = (message.answers, message.authorities, message.additionals)
    out = bytearray(_HEAD.pack(message.id, message.flags, len(message.questions), *map(len, sections)))
    seen: dict[Name, int] = {}
    for question in message.questions:
        _put_name(out, question.name, seen)
        out += _QUESTION.pack(question.type, question.klass)
    for section in sections:
        for record in section:
            _put_name(out, record.name, seen)
            out += _FIXED.pack(record.type, record.klass, record.ttl, len(record.data)) + record.data
    return bytes(out)


def _put_name(out: bytearray, labels: Name, seen: dict[Name, int]) -> None:
    """With compression: the longest suffix that is already there becomes a pointer."""
    for at in range(len(labels)):
        suffix = labels[at:]
        offset = seen.get(suffix)
        if offset is not None:
            out += struct.pack(">H", 0xC000 | offset)
            return
        if len(out) < 0x4000:
            seen[suffix] = len(out)
        out += bytes((len(labels[at]),)) + labels[at]
    out += b"\0"
