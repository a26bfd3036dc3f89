"""Heartbeats that are reckoned: when the last one was, when the next one comes, which are not written yet."""

from __future__ import annotations

from math import inf

from wherry.aio.clock import ManualClock
from wherry.kubelet.simulated.heartbeats import Heartbeats


def test_beats_come_at_the_moments_at_which_they_would_have_been_waited_for() -> None:
    clock = ManualClock(start=100.0)
    beats = Heartbeats(clock, 30.0)
    assert beats.last_sign("n") == -inf, "not known here: its lease says"
    beats.begin("n", first=112.0)
    assert (beats.last("n"), beats.next("n"), beats.due()) == (100.0, 112.0, [])
    clock.advance(12)
    assert (beats.last("n"), beats.next("n")) == (112.0, 142.0)
    assert beats.due() == [("n", 112.0)]
    assert beats.due() == []
    clock.advance(3600)
    assert beats.due() == [("n", 3712.0)]
    assert beats.last_sign("n") == inf


def test_who_falls_silent_was_alive_up_to_its_last_beat() -> None:
    clock = ManualClock(start=0.0)
    beats = Heartbeats(clock, 30.0)
    beats.begin("n", first=5.0)
    clock.advance(24 * 3600 + 34)
    beats.fall_silent("n")
    assert beats.last_sign("n") == 24 * 3600 + 5.0
    clock.advance(3600)
    assert beats.last_sign("n") == 24 * 3600 + 5.0
    assert beats.due() == []
    beats.speak("n")
    assert beats.last_sign("n") == inf
    assert beats.due() == [], "it has just reported"
    clock.advance(30)
    assert [name for name, _ in beats.due()] == ["n"]
