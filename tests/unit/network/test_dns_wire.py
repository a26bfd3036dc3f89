from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.network import dns_wire as wire
from wherry.network.dns_wire import Message, Question, Record, WireError

names = st.lists(st.binary(min_size=1, max_size=10), max_size=4).map(tuple)
number = st.integers(0, 65535)
ttl = st.integers(0, 2**31)
plain = st.tuples(names, st.sampled_from([wire.A, wire.TXT, wire.AAAA]), ttl, st.binary(max_size=40)).map(
    lambda parts: Record(*parts)
)
named = st.tuples(names, st.sampled_from([wire.CNAME, wire.PTR, wire.NS]), ttl, names.map(wire.encode_name)).map(
    lambda parts: Record(*parts)
)
service = st.tuples(names, number, names).map(
    lambda parts: Record(parts[0], wire.SRV, 30, wire.srv_data(0, 100, parts[1], parts[2]))
)
records = st.lists(plain | named | service, max_size=3).map(tuple)
questions = st.lists(st.tuples(names, number).map(lambda parts: Question(*parts)), max_size=2).map(tuple)
messages = st.tuples(number, number, questions, records, records, records).map(lambda parts: Message(*parts))
few = settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])


@few
@given(messages)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    assert wire.decode(wire.encode(message)) == message


@given(st.binary(max_size=80))
def test_noise_is_refused_in_one_way(data: bytes) -> None:
    with contextlib.suppress(WireError):
        wire.decode(data)


@few
@given(messages, st.data())
def test_damage_is_refused_in_one_way(message: Message, data: st.DataObject) -> None:
    encoded = bytearray(wire.encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        wire.decode(bytes(encoded[: data.draw(st.integers(0, len(encoded)))]))


@few
@given(messages, st.integers(512, 4096))
def test_nothing_is_longer_than_its_limit(message: Message, limit: int) -> None:
    data = wire.encode(message, limit)
    assert len(data) <= limit or len(message.questions) > 1
    decoded = wire.decode(data)
    assert list(decoded.answers) == list(message.answers[: len(decoded.answers)])
    assert len(decoded.answers) == len(message.answers) or decoded.flags & wire.TC


def test_a_query_byte_by_byte() -> None:
    query = bytes.fromhex("abcd0100000100000000000104636172740473686f7000000100010000291000000000000000")
    message = wire.decode(query)
    assert message == Message(0xABCD, wire.RD, (Question((b"cart", b"shop"), wire.A),), additionals=(wire.opt(4096),))
    assert message.udp_size == 4096
    assert wire.encode(message) == query


def test_names_are_compressed() -> None:
    owner = wire.name("web.shop.svc.cluster.local")
    one = wire.encode(Message(1, 0, [Question(owner, 1)], [Record(owner, wire.A, 30, b"\1\2\3\4")]))
    assert one[-16:] == bytes.fromhex("c00c 0001 0001 0000001e 0004 01020304")
    assert wire.decode(one).ttl_offsets == [len(one) - 10]


def test_loops_and_strange_labels_are_refused() -> None:
    header = struct.pack(">HHHHHH", 1, 0, 1, 0, 0, 0)
    for name in (b"\xc0\x0c", b"\x01a\xc0\x0c", b"\x40a", b"\x05ab", b"\xc0", b"\x3f" + bytes(63)):
        with pytest.raises(WireError):
            wire.decode(header + name + bytes(4 if len(name) < 4 else 0))


def test_names_as_text() -> None:
    assert wire.name("Cart.Shop.") == (b"Cart", b"Shop")
    assert wire.fold(wire.name("Cart.Shop")) == (b"cart", b"shop")
    for bad in ("a..b", "x" * 64, ".".join(["y" * 60] * 5)):
        with pytest.raises(WireError):
            wire.name(bad)
