"""The heartbeats of nodes that only pretend, where time is virtual: known by reckoning, written when somebody may look.

A node that renews its lease every thirty seconds does so a million times in a virtual year, and nobody looks in between:
whoever could is a controller in the same process, and the only one that cares asks here (`last_sign`). A lease is written
when time comes to a stand (`due`), with the moment at which it was really renewed last.

Is: moments of the monotonic clock. Is not: leases, and the nodes that write them (`nodes.py`).
"""

from __future__ import annotations

from math import floor, inf

from wherry.aio.clock import Clock


class Heartbeats:
    """A node beats every `period` seconds from its first beat on, until it falls silent."""

    def __init__(self, clock: Clock, period: float) -> None:
        self._clock = clock
        self.period = period
        self._first: dict[str, float] = {}
        self._written: dict[str, float] = {}
        self._silent: dict[str, float] = {}

    def begin(self, name: str, first: float) -> None:
        """A node has just reported and will again at `first`."""
        self._first[name] = first
        self._written[name] = self._clock.monotonic()

    def fall_silent(self, name: str) -> None:
        """It was alive up to its last beat."""
        self._silent[name] = self.last(name)

    def speak(self, name: str) -> None:
        """It reports at once, and goes on."""
        self._silent.pop(name, None)
        self._written[name] = self._clock.monotonic()

    def last_sign(self, name: str) -> float:
        """When a node was last heard of: inf while it lives, -inf for a node that is not known here."""
        if name in self._silent:
            return self._silent[name]
        return inf if name in self._first else -inf

    def last(self, name: str) -> float:
        """The moment of its newest beat; the one it began with while it has made none. -inf: not known here."""
        first = self._first.get(name)
        if first is None:
            return -inf
        beats = floor((self._clock.monotonic() - first) / self.period)
        return max(first + beats * self.period if beats >= 0 else -inf, self._written[name])

    def next(self, name: str) -> float:
        """The moment of its next beat."""
        first = self._first[name]
        return first + max(floor((self._clock.monotonic() - first) / self.period) + 1, 0) * self.period

    def due(self) -> list[tuple[str, float]]:
        """(node, moment) of newest beats that are not written yet. They are from now on."""
        found = [
            (name, last)
            for name in self._first
            if name not in self._silent and (last := self.last(name)) > self._written[name]
        ]
        self._written.update(found)
        return found
