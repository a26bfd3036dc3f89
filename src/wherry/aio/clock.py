"""The one source of time. No component reads the real clock or sleeps by itself: it is given a `Clock`.

Two times, never mixed: `time()` is the wall (Unix seconds, for timestamps), `monotonic()` measures durations.
Under `aio.virtual.VirtualLoop` both derive from the loop's own time, so that an hour passes in milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """Wall time, monotonic time and the only way to wait for time to pass."""

    def time(self) -> float:
        """Wall time in Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of monotonic time; a value <= 0 yields to the loop once."""
        ...


class RealClock:
    """The machine's clock."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0))


class LoopClock:
    """Time as the running event loop tells it: real under asyncio's own loop, virtual under `VirtualLoop`.

    `epoch` is the wall time, in Unix seconds, at which the loop's own time is zero.
    """

    def __init__(self, epoch: float = 1_700_000_000.0) -> None:
        self.epoch = epoch

    def time(self) -> float:
        return self.epoch + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0))


class ManualClock:
    """Stands still until told to move, for tests of plain functions; `sleep` moves it and returns at once."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.now = start

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0)
        await asyncio.sleep(0)


def rfc3339(seconds: float) -> str:
    """`metav1.Time` on the wire: UTC, whole seconds, `2026-11-21T08:00:00Z`."""
    return _rfc3339(int(seconds))


@lru_cache(maxsize=4)  # a busy server writes the same second many times
def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(seconds: float) -> str:
    """`metav1.MicroTime` on the wire: UTC with six digits, `2026-11-21T08:00:00.000000Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> float:
    """Unix seconds of an RFC 3339 time. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.timestamp()
