from __future__ import annotations

import random
import socket
import struct
from pathlib import Path

import pytest

from wherry.aio.clock import ManualClock
from wherry.network import dns_forward
from wherry.network import dns_wire as wire
from wherry.network.dns_forward import Forwarder, UpstreamError, lifetime, nameservers
from wherry.network.dns_wire import Message, Question, Record

NAME = wire.name("www.example.com")
QUERY = Message(9, wire.RD, [Question(NAME, wire.A)], additionals=[wire.opt()])


def answer(ttl: int = 60, rcode: int = 0, soa: int | None = None) -> Message:
    answers = [] if soa is not None else [Record(NAME, wire.A, ttl, b"\1\2\3\4")]
    data = wire.soa_data((), (), 1, 1, 1, 1, soa or 0)
    authorities = [Record((), wire.SOA, 900, data)] if soa is not None else []
    return Message(9, wire.QR | rcode, QUERY.questions, answers, authorities)


def test_how_long_an_answer_is_kept() -> None:
    assert lifetime(answer(5)) == 5
    assert lifetime(answer(3600)) == dns_forward.CACHE_SECONDS_MAX
    assert lifetime(answer(rcode=wire.NXDOMAIN, soa=7)) == 7
    assert lifetime(answer(soa=7)) == 7
    assert lifetime(answer(rcode=wire.SERVFAIL)) == 0
    assert lifetime(Message(9, wire.QR, QUERY.questions)) == 0
    assert lifetime(Message(9, wire.QR | wire.TC, QUERY.questions, answer().answers)) == 0


def test_resolv_conf() -> None:
    text = "# nameserver 1.1.1.1\nsearch x\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver\noptions edns0\n"
    assert nameservers(text) == ["192.0.2.1", "fe80::1%eth0"]
    assert len(nameservers("nameserver 192.0.2.1\n" * 5)) == 3


async def test_no_resolver_is_said_in_the_answer(tmp_path: Path) -> None:
    forwarder = Forwarder(ManualClock(), random.Random(1), tmp_path / "absent")
    query = wire.encode(QUERY)
    message = wire.decode(await forwarder.answer(query, QUERY, tcp=False))
    assert (message.id, message.rcode) == (9, wire.SERVFAIL)
    assert message.edns is not None
    kind, size, code = struct.unpack_from(">HHH", message.edns.data)
    assert (kind, code) == (15, 23)
    assert message.edns.data[6 : 4 + size].endswith(b"names no resolver")
    with pytest.raises(UpstreamError):
        await forwarder.resolve(NAME, wire.A)


def test_cached_answers_grow_old(tmp_path: Path) -> None:
    clock = ManualClock()
    forwarder = Forwarder(clock, random.Random(1), tmp_path / "resolv.conf")
    forwarder._store(b"key", wire.encode(answer(20)))
    clock.advance(12.5)
    cached = forwarder._cached(b"key")
    assert cached is not None
    assert wire.decode(cached).answers[0].ttl == 8
    clock.advance(8)
    assert forwarder._cached(b"key") is None
    for number in range(dns_forward.CACHE_ENTRIES_MAX + 5):
        forwarder._store(b"%d" % number, wire.encode(answer(20)))
    assert len(forwarder._cache) == dns_forward.CACHE_ENTRIES_MAX
    assert forwarder._cached(b"0") is None


async def test_a_resolver_that_refuses_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 192.0.2.1\nnameserver 192.0.2.2\n")
    forwarder = Forwarder(ManualClock(), random.Random(1), conf)
    asked = []

    async def ask(server: str, query: bytes) -> bytes:
        asked.append(server)
        if server == "192.0.2.1":
            raise OSError("refused")
        return wire.encode(answer())

    monkeypatch.setattr(forwarder, "_ask_udp", ask)
    for _ in range(3):
        message = wire.decode(await forwarder.answer(wire.encode(QUERY), QUERY, tcp=False))
        assert socket.inet_ntoa(message.answers[0].data) == "1.2.3.4"
    assert asked == ["192.0.2.1", "192.0.2.2"]
