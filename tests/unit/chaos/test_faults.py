"""Faults as leases: whom they strike, what happens then, how they end; and where they are kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from wherry.aio.clock import ManualClock
from wherry.chaos import kept
from wherry.chaos.deciding import Asked, check, is_cut_off, of_question, of_request, under_pressure
from wherry.chaos.faults import LEASE_SECONDS, BadFault, Fault
from wherry.chaos.kept import FaultFolder, MemoryFaults
from wherry.cluster.cut_transport import CutTransport

ASKED = Asked("update", "deployments", "apps", "shop", "web", "system:serviceaccount:shop:op", "op/1.0")


def having(*faults: Fault) -> MemoryFaults:
    memory = MemoryFaults()
    for each in faults:
        memory.add(each)
    return memory


@pytest.mark.parametrize(
    ("where", "struck"),
    [
        ({}, True),
        ({"verb": "create,update"}, True),
        ({"verb": "get"}, False),
        ({"resource": "deployments"}, True),
        ({"resource": "deployments.apps"}, True),
        ({"resource": "deployments.batch"}, False),
        ({"namespace": "sh*", "name": "w?b"}, True),
        ({"user": "system:serviceaccount:shop:*", "agent": "op/*"}, True),
        ({"user": "system:admin"}, False),
    ],
)
def test_requests_are_meant_by_patterns(where: dict[str, str], struck: bool) -> None:
    blow = of_request(having(Fault("f", "api", where, {"fail": 500})), ASKED, inside=False)
    assert (blow.error is not None) is struck


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (409, "Conflict", 'Operation cannot be fulfilled on deployments.apps "web": the object has been modified'),
        (429, "TooManyRequests", "the server has received too many requests and has asked us to try again later"),
        (500, "InternalError", "Internal error occurred: a fault made on purpose"),
        (503, "ServiceUnavailable", "the server is currently unable to handle the request"),
        (504, "Timeout", "the server was unable to return a response in the time allotted"),
    ],
)
def test_failures_speak_as_the_api_does(code: int, reason: str, words: str) -> None:
    error = of_request(having(Fault("f", "api", {}, {"fail": code, "delay": 1.5})), ASKED, inside=False).error
    assert error is not None
    assert (error.code, error.reason) == (code, reason)
    assert error.message.startswith(words)
    assert (error.headers.get("Retry-After") is not None) is (code == 429)


def test_delays_add_up_and_parts_of_the_system_are_struck_only_by_name() -> None:
    faults = having(Fault("a", "api", {}, {"delay": 0.5}), Fault("b", "api", {"user": "*:op"}, {"delay": 1.0}))
    assert of_request(faults, ASKED, inside=False).seconds == 1.5
    assert of_request(faults, ASKED, inside=True).seconds == 1.0


def test_a_share_is_taken_in_the_order_of_its_seed() -> None:
    def struck(seed: int) -> list[bool]:
        faults = having(Fault("f", "api", {}, {"fail": 500}, 0.3, seed))
        return [of_request(faults, ASKED, inside=False).error is not None for _ in range(200)]

    assert struck(1) == struck(1)
    assert struck(1) != struck(2)
    assert 30 < sum(struck(1)) < 90


def test_names_nodes_and_pressure() -> None:
    dns = having(Fault("d", "dns", {"name": "orders.*,*.example.com"}, {"answer": "NXDOMAIN"}))
    assert of_question(dns, "orders.shop.svc.cluster.local") == "NXDOMAIN"
    assert of_question(dns, "payments.shop.svc.cluster.local") == ""
    assert of_question(having(Fault("d", "dns")), "any") == "SERVFAIL"
    assert is_cut_off(having(Fault("n", "node", {"node": "a"})), "a")
    assert not is_cut_off(having(Fault("n", "node", {"node": "a"})), "b")
    pressed = having(
        Fault("m", "pressure", {"node": "a"}, {"of": "memory", "available": 5}),
        Fault("d", "pressure", {}, {"of": "disk"}),
        Fault("e", "pressure", {}, {"of": "disk", "available": 7}),
    )
    assert under_pressure(pressed, "a") == {"memory.available": 5, "nodefs.available": 0}
    assert under_pressure(pressed, "b") == {"nodefs.available": 0}


def test_what_no_component_could_act_on_is_refused() -> None:
    with pytest.raises(BadFault, match="there is no fault 'weather'"):
        Fault("f", "weather")
    with pytest.raises(BadFault, match="a share of 0"):
        Fault("f", "api", share=0)
    with pytest.raises(BadFault, match="dns faults cannot be chosen by 'verb': use name"):
        check(Fault("f", "dns", {"verb": "get"}))
    with pytest.raises(BadFault, match="nodes are not under pressure of 'noise': use memory, disk, inodes"):
        check(Fault("f", "pressure", what={"of": "noise"}))


def test_a_lease_that_nobody_renews_ends_by_itself(tmp_path: Path) -> None:
    clock = ManualClock()
    folder = tmp_path / "chaos"
    faults = FaultFolder(folder, clock)
    assert faults.active("node") == ()
    fault = Fault("n", "node", {"node": "a"})
    kept.renew(folder, fault, clock.time())
    clock.advance(0.2)
    assert [each.name for each in faults.active("node")] == ["n"]
    assert faults.active("api") == ()
    clock.advance(LEASE_SECONDS - 0.3)
    kept.renew(folder, fault, clock.time())
    clock.advance(LEASE_SECONDS - 0.1)
    assert is_cut_off(faults, "a"), "renewed"
    clock.advance(0.2)
    assert not is_cut_off(faults, "a"), "whoever wanted it was killed"
    kept.renew(folder, fault, clock.time())
    clock.advance(0.2)
    assert is_cut_off(faults, "a")
    kept.end(folder, fault)
    clock.advance(0.2)
    assert not is_cut_off(faults, "a"), "ended in good order"
    assert (folder.stat().st_mode & 0o777, list(folder.iterdir())) == (0o700, [])


def test_changes_are_seen_though_the_directorys_time_stands_still(tmp_path: Path) -> None:
    """As it does for milliseconds before Linux 6.13."""
    clock = ManualClock()
    faults, fault = FaultFolder(tmp_path, clock), Fault("n", "node", {"node": "a"})
    changes: list[Callable[[], None]] = [
        lambda: kept.renew(tmp_path, fault, clock.time()),
        lambda: kept.renew(tmp_path, fault, clock.time()),
        lambda: kept.end(tmp_path, fault),
    ]
    seen = []
    for change in changes:
        change()
        os.utime(tmp_path, ns=(0, 0))
        clock.advance(LEASE_SECONDS - 0.1)
        seen.append(is_cut_off(faults, "a"))
    assert seen == [True, True, False]


def test_a_file_that_is_no_fault_and_a_clock_that_jumped_do_nothing(tmp_path: Path) -> None:
    clock = ManualClock()
    kept.renew(tmp_path, Fault("n", "node"), clock.time() + 3600)
    (tmp_path / "x.json").write_text('{"kind": "api"}')
    (tmp_path / "y.json").write_text("half a fi")
    assert FaultFolder(tmp_path, clock).active("node") == ()


async def test_a_node_that_is_cut_off_gets_nothing_through_and_its_watches_break() -> None:
    class Inner:
        async def request(self, method: str, path: str, **more: object) -> dict[str, str]:
            return {"path": path}

    faults = MemoryFaults()
    transport = CutTransport(Inner(), faults, "a")  # type: ignore[arg-type]  # a stream is not asked for
    assert await transport.request("GET", "/x") == {"path": "/x"}
    fault = Fault("n", "node", {"node": "a"})
    faults.add(fault)
    with pytest.raises(ConnectionError, match="node a is cut off on purpose"):
        await transport.request("GET", "/x")
    with pytest.raises(ConnectionError):
        async with transport.stream("/x"):
            pass

    async def items() -> object:
        yield {"type": "ADDED"}
        faults.add(fault)
        yield {"type": "MODIFIED"}

    faults.remove(fault)
    watched = transport._while_whole(items())  # type: ignore[arg-type]
    assert await anext(watched) == {"type": "ADDED"}  # type: ignore[call-overload]
    with pytest.raises(ConnectionError):
        await anext(watched)  # type: ignore[call-overload]
