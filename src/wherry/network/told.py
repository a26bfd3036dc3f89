"""What netd is told about faults of the network, and what it says: the door between `netd.sock` and who makes them.

Always true: without a word nobody looks; after one, looking goes on for LATELY_SECONDS, since whoever said it has written the
fault before, and a look may have been a moment ago. Lives as long as netd: a session with a new launcher begins with a look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from wherry.aio.clock import Clock

LATELY_SECONDS = 1.0


class Told:
    """Of one netd."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._word = asyncio.Event()
        self._until = float("-inf")
        self.all: tuple[str, ...] = ()
        """Names of the faults that are made now."""
        self.refused: dict[str, str] = {}
        """Why others are not, by name."""

    def look(self) -> None:
        """There is a fault, or may be."""
        self._until = self._clock.monotonic() + LATELY_SECONDS
        self._word.set()

    async def wait(self) -> None:
        await self._word.wait()
        self._word.clear()

    def lately(self) -> bool:
        return self._clock.monotonic() < self._until

    def say(self, made: Iterable[str], refused: Mapping[str, str]) -> None:
        self.all, self.refused = tuple(made), dict(refused)
