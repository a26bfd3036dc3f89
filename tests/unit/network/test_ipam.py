from __future__ import annotations

import pytest

from wherry.network.ipam import NoAddressError, PodAddresses


def test_addresses_come_in_order_after_the_gateway() -> None:
    pods = PodAddresses("10.244.0.0/16")
    assert [pods.allocate(name) for name in "abc"] == ["10.244.0.2", "10.244.0.3", "10.244.0.4"]
    assert pods.allocate("a") == "10.244.0.2"
    assert pods.address_of("b") == "10.244.0.3"
    assert len(pods) == 3


def test_a_freed_address_is_not_given_to_the_next() -> None:
    pods = PodAddresses("10.244.0.0/29")
    first = pods.allocate("a")
    pods.release("a")
    pods.release("a")
    others = [pods.allocate(str(n)) for n in range(4)]
    assert first not in others
    assert pods.allocate("last") == first


def test_the_range_ends() -> None:
    pods = PodAddresses("10.244.0.0/29", frozenset({"10.244.0.6"}))
    assert [pods.allocate(str(n)) for n in range(4)] == [f"10.244.0.{n}" for n in range(2, 6)]
    with pytest.raises(NoAddressError, match="4 are in use"):
        pods.allocate("one more")
    with pytest.raises(ValueError, match="too small"):
        PodAddresses("10.0.0.0/30")


def test_what_runs_already_is_claimed() -> None:
    pods = PodAddresses("10.244.0.0/16")
    assert pods.claim("a", "10.244.0.9")
    assert pods.claim("a", "10.244.0.9")
    assert not pods.claim("b", "10.244.0.9")
    assert not pods.claim("a", "10.244.0.8")
    assert not pods.claim("c", "192.168.0.1")
    assert not pods.claim("c", "10.244.0.1")
    assert pods.allocate("new") == "10.244.0.10"
