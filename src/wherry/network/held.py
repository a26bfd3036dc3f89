"""Packets that wait for their time. Pure: whoever asks says what time it is.

Always true: two packets of one pair leave in the order in which they came, whatever jitter they were given, so that jitter
is not taken for loss by TCP; no more than BYTES_MAX wait, what comes then is lost, as in a router whose queue is full.
"""

from __future__ import annotations

import heapq

BYTES_MAX = 64 * 1024 * 1024
"""Half a second of a gigabit."""


class Held:
    """`key` names a pair; `frame` is whatever leaves."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._waiting: list[tuple[float, int, bytes, bytes]] = []
        self._last: dict[bytes, float] = {}
        self._serial = 0
        self._bytes = 0
        self._bytes_max = bytes_max
        self.overflowed = 0
        """How many were lost because too many waited."""

    def __len__(self) -> int:
        return len(self._waiting)

    def at_once(self, now: float, key: bytes) -> bool:
        """Whether a packet that is not delayed overtakes none of its pair."""
        return not self._waiting or self._last.get(key, now) <= now

    def put(self, now: float, seconds: float, key: bytes, frame: bytes) -> None:
        if self._bytes + len(frame) > self._bytes_max:
            self.overflowed += 1
            return
        due = self._last[key] = max(now + seconds, self._last.get(key, now))
        self._serial += 1
        self._bytes += len(frame)
        heapq.heappush(self._waiting, (due, self._serial, key, frame))

    def next(self) -> float | None:
        """When the next one is due."""
        return self._waiting[0][0] if self._waiting else None

    def take(self, now: float) -> list[tuple[bytes, bytes]]:
        """(key, frame) of those that are due, in order."""
        taken = []
        while self._waiting and self._waiting[0][0] <= now:
            _, _, key, frame = heapq.heappop(self._waiting)
            self._bytes -= len(frame)
            taken.append((key, frame))
        if not self._waiting:
            self._last.clear()
        return taken
