"""An event loop whose time jumps: when nothing is ready it moves on to the next timer instead of waiting.

Leans on `BaseEventLoop._run_once` calling `selector.select(timeout)`, on `time()` being overridable and on
`_clock_resolution`; `tests/unit/aio` pins that for every Python we run on.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")
INSTANT = 2e-6
"""The shortest wait: a wall clock of Unix seconds in a float cannot tell less."""


class PatientLoop(asyncio.SelectorEventLoop):
    """Timers are due however large its time has grown; whoever derives from it says what time it is."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        super().__init__(selector)
        # What is due within this is due now. asyncio takes a nanosecond, which after half a year of seconds in a float is
        # nothing: a timer would never be due.
        self._clock_resolution = INSTANT / 2

    def call_at(  # type: ignore[override]  # typeshed ties args to the callback's own
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """A timer fires a little after it was set, so that whoever waits again and again for what rounding has left over
        gets there."""
        return super().call_at(max(when, self.time() + INSTANT), callback, *args, context=context)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Without the time limit that `asyncio.Runner` sets since Python 3.12: threads end in real time, in which a limit of
        this loop's own time may have passed at once."""
        await super().shutdown_default_executor()


class _JumpingSelector(selectors.DefaultSelector):
    """Polls real descriptors without waiting; when none is ready it hands the wait to the loop as elapsed time."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout is None or timeout <= 0:
            # With no timer at all only a real descriptor (a thread's wake-up) can help: wait for it for real.
            return ready or (super().select(None) if timeout is None else ready)
        self.elapsed += timeout
        return ready


class VirtualLoop(PatientLoop):
    """Time starts at 0 and advances only when every task waits for it."""

    time_is_made = True
    """Whoever would use a thread so that others need not wait does without: nobody waits while no time passes."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.elapsed


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
