"""The clock of a control plane as a test holds it, and the one way to wait for something."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Protocol

from wherry.testing.durations import Duration, seconds


class Passing(Protocol):
    """Whatever lets time pass."""

    virtual: bool

    def now(self) -> float: ...

    def pass_time(self, until: float, stop_at_writes: bool) -> Future[None]: ...


class RealTime(RuntimeError):
    """Asked of a control plane whose time is real: it cannot be moved."""


Waiting = Generator["Future[None] | Callable[[], Any]", Any, Any]
"""Yields what its driver does next: let time pass, or ask; is sent the answer, and returns what was waited for."""


def waiting(passing: Passing, ask: Callable[[], Any], limit: float, late: Callable[[], str]) -> Waiting:
    """Ask now and after every write, until the answer is true. Raises TimeoutError."""
    end = passing.now() + limit
    while True:
        over = passing.now() >= end
        answer = yield ask
        if answer:
            return answer
        if over:
            raise TimeoutError(late())
        yield passing.pass_time(end, True)


class ClockBase:
    """`now` is the control plane's wall clock."""

    def __init__(self, passing: Passing) -> None:
        self._passing = passing

    @property
    def now(self) -> datetime:
        """In UTC."""
        return datetime.fromtimestamp(self._passing.now(), UTC)

    def _until(self, duration: Duration) -> float:
        length = seconds(duration)
        if not self._passing.virtual:
            raise RealTime("this control plane runs in real time: use wait_for, or ControlPlane(virtual_time=True)")
        return self._passing.now() + length
