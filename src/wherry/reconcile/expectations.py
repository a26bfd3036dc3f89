"""Creations and deletions a controller has asked for and not yet seen in its informer.

Between a write and its watch event the informer lags; a controller that counted pods then would create them again. So
it writes down what it expects, and does not act on that key until it has seen it, or until it has waited so long
that something must have been lost.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from msgspec import Struct, field

from wherry.aio.clock import Clock

EXPECTATION_SECONDS_MAX = 300.0
"""client-go's ExpectationsTimeout: after five minutes a missing watch event is taken as lost."""


class _Expected(Struct):
    since: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)

    @property
    def fulfilled(self) -> bool:
        return self.creations <= 0 and not self.deletions


class Expectations:
    """Counts creations, remembers deletions by uid (a deletion is seen twice: marked, then gone)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expected: dict[Hashable, _Expected] = {}

    def expect_creations(self, key: Hashable, count: int) -> None:
        self._entry(key).creations += count

    def expect_deletions(self, key: Hashable, uids: Iterable[str]) -> None:
        self._entry(key).deletions.update(uids)

    def creation_observed(self, key: Hashable, count: int = 1) -> None:
        """Seen in the informer, or known never to come because the create failed."""
        entry = self._expected.get(key)
        if entry is not None:
            entry.creations -= count
            self._drop_fulfilled(key, entry)

    def deletion_observed(self, key: Hashable, uid: str) -> None:
        entry = self._expected.get(key)
        if entry is not None:
            entry.deletions.discard(uid)
            self._drop_fulfilled(key, entry)

    def satisfied(self, key: Hashable) -> bool:
        """Whether the informer may be believed for `key`."""
        entry = self._expected.get(key)
        if entry is None or entry.fulfilled:
            return True
        if self._clock.monotonic() - entry.since > EXPECTATION_SECONDS_MAX:
            del self._expected[key]
            return True
        return False

    def forget(self, key: Hashable) -> None:
        self._expected.pop(key, None)

    def __len__(self) -> int:
        return len(self._expected)

    def _entry(self, key: Hashable) -> _Expected:
        entry = self._expected.get(key)
        if entry is None:
            entry = self._expected[key] = _Expected(self._clock.monotonic())
        return entry

    def _drop_fulfilled(self, key: Hashable, entry: _Expected) -> None:
        if entry.fulfilled:
            self._expected.pop(key, None)
