"""Packets past netd: what the kernel is told, and what waits for its time."""

from __future__ import annotations

import socket
import struct

from wherry.aio.clock import ManualClock
from wherry.chaos.between import Between
from wherry.chaos.faults import NETWORK, Fault
from wherry.network import detour_rules, nfnetlink
from wherry.network.held import Held
from wherry.network.told import LATELY_SECONDS, Told

AB, AC = b"ab", b"ac"


def test_packets_leave_when_they_are_due() -> None:
    held = Held()
    held.put(0.0, 0.3, AB, b"slow")
    held.put(0.1, 0.1, AC, b"quick")
    assert held.next() == 0.2
    assert held.take(0.1) == []
    assert held.take(0.25) == [(AC, b"quick")]
    assert held.take(9.0) == [(AB, b"slow")]
    assert held.next() is None


def test_packets_of_one_pair_keep_their_order() -> None:
    held = Held()
    assert held.at_once(0.0, AB)
    for at, seconds in enumerate((0.3, 0.1, 0.0)):
        held.put(at / 100, seconds, AB, b"%d" % at)
    assert not held.at_once(0.2, AB)
    assert held.at_once(0.2, AC), "others need not wait"
    assert held.take(0.29) == []
    assert held.take(0.3) == [(AB, b"0"), (AB, b"1"), (AB, b"2")]
    assert held.at_once(0.3, AB)


def test_no_more_is_held_than_there_is_room_for() -> None:
    held = Held(bytes_max=10)
    for _ in range(3):
        held.put(0.0, 1.0, AB, b"12345")
    assert (len(held), held.overflowed) == (2, 1)
    held.take(1.0)
    held.put(1.0, 1.0, AB, b"12345")
    assert len(held) == 1


def test_marks_are_one_rule_and_two_sets_for_each_direction() -> None:
    between = Between()
    many = [f"10.244.{n // 250}.{n % 250 + 1}" for n in range(1000)]
    ends = {"from": many, "to": ["10.244.9.1"]}
    between.set([Fault("f", NETWORK, {}, {"delay": 0.1, "both": True}, ends=ends)])
    transactions = detour_rules.marks(between.lines())
    kinds = [message.type & 0xFF for messages in transactions for message in messages]
    assert kinds.count(nfnetlink.NEWRULE) == 2
    assert kinds.count(nfnetlink.NEWSET) == 4
    assert kinds[:3] == [nfnetlink.NEWTABLE, nfnetlink.DELTABLE, nfnetlink.NEWTABLE], "whatever was there is replaced"
    assert kinds[-2:] == [nfnetlink.NEWRULE] * 2, "rules come when their sets are full"
    assert all(sum(map(len, messages)) <= 64 * 1024 for messages in transactions)


def test_where_pods_are_is_read_from_routes() -> None:
    def route(table: int, bits: int, address: str, device: int) -> bytes:
        head = struct.pack("=BBBBBBBBI", socket.AF_INET, bits, 0, 0, table, 0, 0, 1, 0)
        body = nfnetlink.attr(1, socket.inet_aton(address)) + nfnetlink.attr(4, struct.pack("=I", device))
        return nfnetlink.Message(24, 0, head + body).encode(1)

    answer = route(254, 32, "10.244.0.2", 100) + route(254, 24, "10.244.1.0", 7) + route(255, 32, "10.244.0.1", 1)
    assert detour_rules.devices(answer) == {"10.244.0.2": 100}


async def test_nobody_looks_without_a_word() -> None:
    clock = ManualClock()
    told = Told(clock)
    assert not told.lately()
    told.look()
    await told.wait()
    assert told.lately()
    clock.advance(LATELY_SECONDS)
    assert not told.lately()
