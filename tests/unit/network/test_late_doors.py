"""The way past netd in tier proc: who is led where, and whose call it is that comes."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from wherry.aio.clock import LoopClock
from wherry.chaos.between import Between
from wherry.chaos.faults import NETWORK, Fault
from wherry.launcher.proc.detours import Detours
from wherry.launcher.proc.ports import OWN, TCP, UDP, Ports
from wherry.network.late_door import there
from wherry.network.relay_way import RelayWay

A, B, C = "10.244.0.2", "10.244.0.3", "10.244.0.4"
BEHIND = ("127.98.0.3", 41233)


def between(sources: str, targets: str, **what: Any) -> Between:
    made = Between()
    made.set([Fault("f", NETWORK, {}, what, ends={"from": sources.split(), "to": targets.split()})])
    return made


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Of one pod: a port of TCP and one of UDP, and one that is its own."""
    ports = Ports(str(tmp_path / "ports"))
    ports.clear()
    ports.add(B)
    ports.record(B, TCP, 80, ("127.0.0.1", 41233))
    ports.record(B, UDP, 53, ("127.0.0.1", 41234))
    ports.record(B, TCP, 9000, ("127.99.0.3", 9000), OWN)
    return ports


def test_what_others_can_reach_of_a_pod(ports: Ports) -> None:
    assert ports.of(B) == [("tcp", 80, ("127.0.0.1", 41233)), ("udp", 53, ("127.0.0.1", 41234))]
    assert ports.of(C) == []


def test_only_those_who_are_meant_go_by_the_detour() -> None:
    detours = Detours()
    assert not detours
    detours.set([["tcp", ["127.98.0.3", 41233], ["127.98.0.3", 50001], 80, [A]]])
    behind, way = (socket.inet_aton("127.98.0.3"), 41233), (socket.inet_aton("127.98.0.3"), 50001)
    assert detours.via(A, "tcp", behind) == way
    assert detours.via(C, "tcp", behind) == behind
    assert detours.via(A, "udp", behind) == behind
    assert detours.port("tcp", *way) == 80
    assert detours.port("tcp", *behind) is None
    detours.set([])
    assert not detours


def test_whose_call_it_is() -> None:
    one_way = between(A, B, delay=1.0)
    assert there(one_way, "127.98.0.9", BEHIND, B) == ("10.244.0.9", B)
    assert there(one_way, "127.0.0.1", BEHIND, B) == (A, B), "where memory is rewritten: one of those who are led there"
    assert there(one_way, "127.0.0.1", ("127.98.0.2", 1), A) == (B, A), "of the other end too"
    assert there(Between(), "127.0.0.1", BEHIND, B) == ("", B)


class Launcher:
    """What the shim would hear."""

    def __init__(self) -> None:
        self.heard: list[list[Any]] = []

    async def call(self, op: str, **args: Any) -> None:
        assert op == "node.detours"
        self.heard.append(args["detours"])


async def test_a_door_stands_before_each_port_while_a_fault_holds(ports: Ports) -> None:
    launcher, faults = Launcher(), between(f"{A} {C}", B, delay=1.0)
    way = RelayWay(launcher, ports, faults, LoopClock())  # type: ignore[arg-type]  # nothing else is asked of it
    await way.undo()
    assert (way.made, launcher.heard) == (False, [[]])
    await way.lead(faults, True)
    await way.lead(faults, False)
    assert len(launcher.heard) == 2, "nothing new is not told again"
    (tcp, udp) = launcher.heard[1]
    assert [tcp[:2], tcp[3:]] == [["tcp", ["127.0.0.1", 41233]], [80, [A, C]]]
    assert [udp[:2], udp[3:]] == [["udp", ["127.0.0.1", 41234]], [53, [A, C]]]
    with socket.create_connection(tuple(tcp[2]), 5):
        pass
    ports.record(B, TCP, 81, ("127.0.0.1", 41235))
    await way.lead(faults, False)
    assert [each[3] for each in launcher.heard[2]] == [80, 81, 53], "a program listens later"
    await way.undo()
    assert (way.made, launcher.heard[3]) == (False, [])
    way.close()


def test_parts_of_a_connection_are_not_lost(ports: Ports) -> None:
    way = RelayWay(Launcher(), ports, Between(), LoopClock())  # type: ignore[arg-type]
    assert "no part of a connection can be lost" in way.refuses(Fault("f", NETWORK, {}, {"loss": 0.5}))
    assert way.refuses(Fault("f", NETWORK, {}, {"loss": 1.0, "delay": 0.1})) == ""
