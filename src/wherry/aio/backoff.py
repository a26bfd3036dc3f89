"""How long to wait before the next try: exponential, bounded, jittered. Counts and decides; never sleeps by itself."""

from __future__ import annotations

from random import Random


class Backoff:
    """Delays `initial`, `initial*factor`, ... up to `maximum` seconds, each stretched by up to `jitter` of itself."""

    def __init__(
        self, rng: Random, *, initial: float = 0.1, factor: float = 2.0, maximum: float = 2.0, jitter: float = 0.5
    ) -> None:
        assert 0 < initial <= maximum
        assert factor >= 1
        self._rng = rng
        self._initial = initial
        self._factor = factor
        self._maximum = maximum
        self._jitter = jitter
        self._next = initial

    def next(self) -> float:
        """Seconds to wait now; the one after that is longer."""
        delay = self._next * (1 + self._rng.random() * self._jitter)
        self._next = min(self._next * self._factor, self._maximum)
        return delay

    def reset(self) -> None:
        """It worked: begin again with the shortest delay."""
        self._next = self._initial
