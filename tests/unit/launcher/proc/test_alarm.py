"""The alarm rings as long as somebody connects, one period more, and then no longer."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from wherry.launcher.proc import alarm as module
from wherry.launcher.proc.alarm import Alarm


@dataclass
class Timer:
    """The kernel's, which no test waits for: it rings when a test says so."""

    set: list[tuple[float, ...]] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        return bool(self.set) and self.set[-1][0] > 0

    def ring(self) -> None:
        assert self.runs
        signal.raise_signal(signal.SIGALRM)


@pytest.fixture
def timer(monkeypatch: pytest.MonkeyPatch) -> Timer:
    made = Timer()
    monkeypatch.setattr(module, "setitimer", lambda _, *seconds: made.set.append(seconds))
    return made


@pytest.fixture
def alarm(timer: Timer) -> Iterator[Alarm]:
    before = signal.getsignal(signal.SIGALRM)
    made = Alarm()
    made.install()
    yield made
    signal.signal(signal.SIGALRM, before)


def test_it_rings_while_somebody_connects(alarm: Alarm, timer: Timer) -> None:
    assert not timer.runs
    for _ in range(3):
        alarm.set()
        timer.ring()
    assert len(timer.set) == 1
    timer.ring()
    assert not timer.runs
    alarm.set()
    assert timer.runs


def test_it_is_silent_at_once(alarm: Alarm, timer: Timer) -> None:
    alarm.set()
    alarm.silence()
    assert not timer.runs
    assert not alarm.rings
    alarm.silence()
    assert len(timer.set) == 2
