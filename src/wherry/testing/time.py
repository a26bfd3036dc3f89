"""The clock of a control plane as a test holds it, and the one way to wait for something."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Protocol

from wherry.aio.clock import RealClock
from wherry.aio.durations import Duration, seconds

_REAL = RealClock()


class Passing(Protocol):
    """Whatever lets time pass. `patience`: seconds of real time that programs outside need to do something, 0 where there
    are none; `linger` is over after a little real time."""

    virtual: bool

    def now(self) -> float: ...

    def pass_time(self, until: float, stop_at_writes: bool) -> Future[None]: ...

    def sleep(self, seconds: float) -> Future[None]: ...

    @property
    def patience(self) -> float: ...

    def linger(self) -> Future[None]: ...


class RealTime(RuntimeError):
    """Asked of a control plane whose time is real: it cannot be moved."""


Waiting = Generator["Future[None] | Callable[[], Any]", Any, Any]
"""Yields what its driver does next: let time pass, or ask; is sent the answer, and returns what was waited for."""


def waiting(passing: Passing, ask: Callable[[], Any], limit: float, late: Callable[[], str]) -> Waiting:
    """Ask now and after every write, until the answer is true. Raises TimeoutError.

    Where programs outside may be at work, as they are from the moment at which the control plane listens, it is not late
    before they have had their patience of real time: a virtual minute is too short for a program to start."""
    end = passing.now() + limit
    began = _REAL.monotonic()
    while True:
        over = passing.now() >= end
        answer = yield ask
        if answer:
            return answer
        if not over:
            yield passing.pass_time(end, True)
        elif _REAL.monotonic() - began < passing.patience:
            yield passing.linger()
        else:
            raise TimeoutError(late())


class ClockBase:
    """`now` is the control plane's wall clock. `time`, `monotonic` and `sleep` are as those of the module `time`, so that
    Python code under test can be given this clock in its place; what sleeps wakes when the test lets time pass."""

    def __init__(self, passing: Passing) -> None:
        self._passing = passing

    @property
    def now(self) -> datetime:
        """In UTC."""
        return datetime.fromtimestamp(self._passing.now(), UTC)

    def time(self) -> float:
        """In Unix seconds."""
        return self._passing.now()

    def monotonic(self) -> float:
        """In seconds, from no moment in particular."""
        return self._passing.now()

    def sleep(self, seconds: float) -> None:
        """For other threads than the test's own: until that much of the control plane's time has passed."""
        self._passing.sleep(seconds).result()

    def _until(self, duration: Duration) -> float:
        length = seconds(duration)
        if not self._passing.virtual:
            raise RealTime("this control plane runs in real time: use wait_for, or ControlPlane(virtual_time=True)")
        return self._passing.now() + length
