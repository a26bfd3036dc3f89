"""Expectations hold a key back until what was asked for has been seen, or five minutes have passed."""

from __future__ import annotations

from wherry.aio.clock import ManualClock
from wherry.reconcile.expectations import EXPECTATION_SECONDS_MAX, Expectations


def test_creations_are_counted() -> None:
    expectations = Expectations(ManualClock())
    assert expectations.satisfied("k")
    expectations.expect_creations("k", 2)
    expectations.creation_observed("k")
    assert not expectations.satisfied("k")
    expectations.creation_observed("k")
    assert expectations.satisfied("k")
    assert len(expectations) == 0


def test_a_deletion_seen_twice_counts_once() -> None:
    expectations = Expectations(ManualClock())
    expectations.expect_deletions("k", ["a", "b"])
    expectations.deletion_observed("k", "a")
    expectations.deletion_observed("k", "a")
    assert not expectations.satisfied("k")
    expectations.deletion_observed("k", "b")
    assert expectations.satisfied("k")


def test_they_expire() -> None:
    clock = ManualClock()
    expectations = Expectations(clock)
    expectations.expect_creations("k", 1)
    clock.advance(EXPECTATION_SECONDS_MAX)
    assert not expectations.satisfied("k")
    clock.advance(1)
    assert expectations.satisfied("k")
