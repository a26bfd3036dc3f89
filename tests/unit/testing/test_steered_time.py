"""The loop whose time somebody steers: how far it goes, what holds it, what is due."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from wherry.aio.clock import ManualClock
from wherry.aio.durations import seconds
from wherry.testing.conditions import checker
from wherry.testing.steered import SteeredLoop

PATIENCE = 10
"""Seconds of real time, for what happens at once."""


class Steered:
    """The loop on a thread, and one call into it at a time."""

    def __init__(self, held: Callable[[], bool], exchanged: Callable[[], int] = lambda: 0) -> None:
        self.loop = SteeredLoop(held, exchanged)
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def ask(self, what: Callable[[], Future[None]]) -> Future[None]:
        inner: Future[Future[None]] = Future()
        self.loop.call_soon_threadsafe(lambda: inner.set_result(what()))
        return inner.result(PATIENCE)

    def advance(self, until: float) -> Future[None]:
        return self.ask(lambda: self.loop.proceed(until))

    def at(self, when: float, what: Callable[[], None]) -> None:
        self.ask(lambda: (self.loop.call_at(when, what), self.loop.idle())[1]).result(PATIENCE)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        self.loop.close()


def test_time_goes_as_far_as_it_may_and_no_further() -> None:
    steered = Steered(lambda: False)
    rung: list[float] = []
    for when in (5.0, 10.0, 10.5):
        steered.at(when, lambda: rung.append(round(steered.loop.time(), 3)))
    assert rung == []
    steered.advance(10.0).result(PATIENCE)
    assert rung == [5.0, 10.0]
    assert steered.loop.time() == 10.0
    steered.close()


def test_time_stands_still_while_a_request_is_open() -> None:
    is_open = True
    steered = Steered(lambda: is_open)
    rung: list[str] = []
    steered.at(5.0, lambda: rung.append("timer"))

    def answered() -> None:
        nonlocal is_open
        rung.append("answered")
        is_open = False

    passing = steered.advance(3600.0)
    assert not passing.done()
    steered.loop.call_soon_threadsafe(answered)
    passing.result(PATIENCE)
    assert rung == ["answered", "timer"]
    steered.close()


def test_who_stood_still_with_the_machine_gets_another_moment_to_answer() -> None:
    steered = Steered(lambda: False, lambda: 1)
    rung: list[str] = []
    steered.at(5.0, lambda: rung.append("timer"))

    class Late(ManualClock):
        """The first moment takes three seconds, and then comes the answer."""

        looks = 0

        def monotonic(self) -> float:
            self.looks += 1
            if self.looks == 2:
                self.advance(3)
                steered.loop.call_soon_threadsafe(rung.append, "answer")
            return self.now

    steered.loop._steering._real = Late()
    steered.advance(10.0).result(PATIENCE)
    assert rung == ["answer", "timer"]
    steered.close()


def test_timers_are_due_after_a_year_and_short_waits_end() -> None:
    """Seconds in a float tell less than a nanosecond then."""
    steered = Steered(lambda: False)
    year = 366 * 86400.0
    steered.advance(year).result(PATIENCE)

    async def wait() -> int:
        times = 0
        while steered.loop.time() < year + 0.001:
            await asyncio.sleep(1e-10)
            times += 1
        return times

    waited = asyncio.run_coroutine_threadsafe(wait(), steered.loop)
    steered.advance(year + 1).result(PATIENCE)
    assert 0 < waited.result(PATIENCE) <= 1000
    steered.close()


def test_lengths_of_time() -> None:
    assert [seconds(one) for one in (90, "90", "1.5s", "1d12h", "500ms")[::2]] == [90, 1.5, 0.5]
    assert seconds("1d12h") == 129_600
    for wrong in ("6 hours", "", "h", -1):
        with pytest.raises(ValueError, match=r"duration|back"):
            seconds(wrong)


def test_what_can_be_waited_for() -> None:
    obj = {
        "metadata": {"generation": 2},
        "status": {"phase": "Running", "list": [{"n": 3}], "conditions": [{"type": "Ready", "status": "False"}]},
    }
    for condition in (
        "Ready=False",
        "condition=Ready=false",
        "jsonpath={.status.phase}=Running",
        "jsonpath='{.status.list[0].n}'=3",
        "create",
    ):
        assert checker(condition)(obj), condition
    for condition in ("Ready", "delete", "jsonpath={.status.none}", "jsonpath={.status.phase}=Failed"):
        assert not checker(condition)(obj), condition
    assert not checker("Ready=False")({**obj, "status": {**obj["status"], "observedGeneration": 1}}), (
        "it is about an older one"
    )
    assert checker("delete")(None)
    with pytest.raises(ValueError, match="wait for a condition's name"):
        checker("status.phase == Running")
