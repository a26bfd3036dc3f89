"""An event loop whose time jumps: when nothing is ready it moves on to the next timer instead of waiting.

Leans on `BaseEventLoop._run_once` calling `selector.select(timeout)` and on `time()` being overridable;
`tests/unit/aio` pins that for every Python we run on.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


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


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time starts at 0 and advances only when every task waits for it."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.elapsed


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
