"""What faults do to packets between pods, decided: who is meant, what is lost by seed, how long others are held."""

from __future__ import annotations

import random
from typing import Any

import pytest

from wherry.api.types import Obj
from wherry.chaos import ends
from wherry.chaos.between import Between, hold
from wherry.chaos.deciding import check
from wherry.chaos.faults import NETWORK, BadFault, Fault

A, B, C = "10.244.0.2", "10.244.0.3", "10.244.0.4"


def fault(name: str = "f", seed: int = 0, sources: str = A, targets: str = B, **what: Any) -> Fault:
    return Fault(name, NETWORK, {}, what, seed=seed, ends={"from": sources.split(), "to": targets.split()})


def between(*faults: Fault) -> Between:
    made = Between()
    made.set(faults)
    return made


def test_only_packets_from_the_one_end_to_the_other_are_meant() -> None:
    one_way = between(fault(delay=0.2))
    assert hold(one_way.of((A, B))) == 0.2
    assert hold(one_way.of((B, A))) == 0
    assert hold(one_way.of((A, C))) == 0
    assert hold(between(fault(delay=0.2, both=True)).of((B, A))) == 0.2


def test_several_faults_add_up_and_losing_once_is_enough() -> None:
    slow = between(fault("a", delay=0.2), fault("b", sources=f"{A} {C}", delay=0.3))
    assert hold(slow.of((A, B))) == 0.5
    assert hold(slow.of((C, B))) == 0.3
    assert hold(between(fault("a", delay=0.2), fault("b", loss=1.0)).of((A, B))) is None
    assert slow.targets() == {B}


def test_what_is_lost_depends_on_seed_and_order_alone() -> None:
    def lost(*, answers: bool = False, **what: Any) -> list[bool]:
        faults = between(fault(loss=0.3, **what))
        found = []
        for _ in range(200):
            found.append(hold(faults.of((A, B))) is None)
            if answers:
                hold(faults.of((B, A)))
        return found

    chance = random.Random(7)
    assert lost(seed=7) == [chance.random() < 0.3 for _ in range(200)]
    assert lost(seed=7) != lost(seed=8)
    assert lost(seed=7, delay=0.2, jitter=0.1) == lost(seed=7)
    assert lost(seed=7, both=True, answers=True) == lost(seed=7)


def test_a_fault_that_goes_on_goes_on_where_its_seed_is() -> None:
    whole, parts = between(fault(loss=0.5)), between(fault(loss=0.5))
    expected = [hold(whole.of((A, B))) for _ in range(20)]
    first = [hold(parts.of((A, B))) for _ in range(10)]
    assert parts.set([fault(loss=0.5, sources=f"{A} {C}")]), "another pod has come"
    assert not parts.set([fault(loss=0.5, sources=f"{A} {C}")]), "nothing is new"
    assert first + [hold(parts.of((A, B))) for _ in range(10)] == expected


def test_jitter_stays_within_its_bounds() -> None:
    held = [hold(between(fault(seed=n, delay=0.2, jitter=0.1)).of((A, B))) or 0.0 for n in range(100)]
    assert min(held) >= 0.1
    assert max(held) <= 0.3
    assert len(set(held)) > 90


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({}, "neither a delay nor a loss"),
        ({"delay": 61.0}, "a delay of 61s: it can be 60s at most"),
        ({"delay": 0.1, "jitter": 0.2}, "a jitter of 0.2s: it can be as long as the delay"),
        ({"loss": 1.5}, "a loss of 1.5: it must be at least 0 and at most 1"),
    ],
)
def test_what_cannot_be_done_to_packets_is_refused(what: dict[str, Any], words: str) -> None:
    with pytest.raises(BadFault, match=words):
        check(fault(**what))
    assert list(between(fault(**what)).lines()) == [], "written by somebody else"


class Cluster:
    """Pods of the namespace shop."""

    def __init__(self, **services: Obj) -> None:
        self.services = services
        self.asked: list[tuple[str, str]] = []

    def pods(self, namespace: str, selector: str) -> list[Obj]:
        self.asked.append((namespace, selector))
        return [
            {"status": {"podIP": B, "phase": "Running"}},
            {"status": {"podIP": A, "phase": "Pending"}},
            {"status": {"phase": "Pending"}},
            {"status": {"podIP": C, "phase": "Succeeded"}},
            {"spec": {"hostNetwork": True}, "status": {"podIP": "10.244.0.1", "phase": "Running"}},
        ]

    def service(self, namespace: str, name: str) -> Obj | None:
        return self.services.get(name)


def test_ends_are_selectors_or_services() -> None:
    cluster = Cluster(web={"spec": {"selector": {"app": "web", "tier": "front"}}})
    found = ends.find(cluster, {"namespace": "shop", "from": "app in (a, b)", "to-namespace": "other", "to": "svc/web"})
    assert found == {"from": [A, B], "to": [A, B]}
    assert cluster.asked == [("shop", "app in (a, b)"), ("other", "app=web,tier=front")]
    assert ends.find(cluster, {})["to"] == [A, B]
    assert cluster.asked[-2:] == [("default", ""), ("default", "")]


def test_a_service_must_say_which_pods_are_its() -> None:
    cluster = Cluster(outside={"spec": {"externalName": "example.com"}})
    with pytest.raises(BadFault, match='services "none" not found in default'):
        ends.find(cluster, {"to": "service/none"})
    with pytest.raises(BadFault, match="service default/outside has no selector"):
        ends.find(cluster, {"to": "service/outside"})
