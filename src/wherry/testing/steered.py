"""An event loop whose time moves only as far as somebody allows, and then in jumps.

    stands still     everything due at this moment is done, then the loop waits for calls and sockets
    proceeds         from timer to timer up to a moment, or until `stop` holds at the end of an instant
    calls are open   it moves as far as those calls need (a retry, a time limit)
    held             a client's request or a webhook call is open: no jump, real input and output go on
    answering        programs outside have been told something: they get a moment of real time before the next jump
    flows            at the pace of real time, for a program that lives in it

Leans on `BaseEventLoop._run_once` calling `selector.select(timeout)`, as `aio.virtual` does. Everything but `idle` futures
belongs to the loop's own thread.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable
from concurrent.futures import Future

from wherry.aio.clock import Clock, RealClock
from wherry.aio.virtual import PatientLoop

HELD_SECONDS = 10.0
"""Real time for which nothing at all happens while an open request holds the clock: it waits for time itself then."""


ANSWER_SECONDS = 0.25
"""Real time that programs outside get to react to what they were told last; kopf gathers changes for 0.1 s."""


class SteeredLoop(PatientLoop):
    """Before every jump it asks `held` whether an outside request is open, and `exchanged`, which grows with whatever is said
    to or by programs outside."""

    time_is_made = True

    def __init__(self, held: Callable[[], bool] = lambda: False, exchanged: Callable[[], int] = lambda: 0) -> None:
        self._steering = _Steering(held, exchanged)
        super().__init__(self._steering)
        self._steering.wakes = self._ssock.fileno()  # type: ignore[attr-defined]  # asyncio's own, as `_clock_resolution` is

    def time(self) -> float:
        return self._steering.now

    def proceed(self, until: float, stop: Callable[[], bool] | None = None) -> Future[None]:
        """Let time pass up to `until`; done when it has, or at the end of the first instant at which `stop()` holds."""
        self._steering.limit = max(self._steering.now, until)
        self._steering.stop = stop
        return self.idle()

    def idle(self) -> Future[None]:
        """Done when nothing is left to do without time passing any further than it may."""
        waiting: Future[None] = Future()
        self._steering.waiting.append(waiting)
        return waiting

    def open_call(self) -> None:
        """Time may pass until `close_call`."""
        self._steering.calls += 1

    def close_call(self) -> None:
        """Time stands still again, where it is, unless other calls are open."""
        self._steering.calls -= 1

    def flow(self, on: bool) -> None:
        self._steering.flows += 1 if on else -1


class _Steering(selectors.DefaultSelector):
    def __init__(self, held: Callable[[], bool], exchanged: Callable[[], int]) -> None:
        super().__init__()
        self._held = held
        self._exchanged = exchanged
        self._answered = 0
        self._heard = 0
        self.wakes: int | None = None
        """The descriptor by which other threads wake the loop: nobody outside."""
        self._real: Clock = RealClock()
        self.now = 0.0
        self.limit = 0.0
        self.stop: Callable[[], bool] | None = None
        self.waiting: list[Future[None]] = []
        self.calls = 0
        self.flows = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if any(key.fd != self.wakes for key, _ in ready):
            self._heard += 1
        if ready or (timeout is not None and timeout <= 0):
            return ready
        # An instant is over: whatever could happen at this moment has happened.
        if self.flows:
            return self._flow(timeout)
        if self.stop is not None and self.stop():
            self.limit, self.stop = self.now, None
        target = float("inf") if timeout is None else self.now + timeout
        moves = self.limit > self.now or (self.calls > 0 and timeout is not None)
        if moves and (ready := self._wait_outside()):
            return ready
        if target <= self.limit or (self.calls > 0 and timeout is not None):
            self.now = target
            self.limit = max(self.limit, target)
            return []
        self.now = max(self.now, self.limit)
        if self.calls == 0:
            self.stop = None
            self._tell()
        return super().select(None)

    def _wait_outside(self) -> list[tuple[selectors.SelectorKey, int]]:
        """What comes from outside as long as time has to stand still for it; nothing when it may move."""
        if self._held() and (ready := super().select(HELD_SECONDS)):
            return ready
        said = self._exchanged() + self._heard
        if said != self._answered and (ready := self._answer()):
            return ready
        self._answered = said
        return []

    def _answer(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Again where it took much longer than it should: the machine stood still, and with it those who would have answered."""
        while True:
            began = self._real.monotonic()
            ready = super().select(ANSWER_SECONDS)
            if ready or self._real.monotonic() - began < 2 * ANSWER_SECONDS:
                return ready

    def _tell(self) -> None:
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.set_result(None)

    def _flow(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        self._tell()
        started = self._real.monotonic()
        ready = super().select(timeout)
        if not self._held():
            self.now += min(self._real.monotonic() - started, timeout if timeout is not None else float("inf"))
            self.limit = max(self.limit, self.now)
        return ready
