"""The queue between "something changed" and "look at it": keys, never events.

What client-go's workqueue promises, and this too:
  fair      keys leave in the order in which they came
  stingy    a key added many times before it is taken is handed out once
  single    a key is never worked on twice at the same time; added meanwhile, it comes again after `done`
  patient   `add_after` waits, `add_rate_limited` waits longer after each failure of that key, until `forget`

Not a place for data: whoever takes a key looks at the world as it is then. Delays run on the event loop's own time.
Bounded by the number of distinct keys, which is the number of objects.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from wherry.aio.clock import Clock
from wherry.api.histogram import Histogram

K = TypeVar("K", bound=Hashable)

BACKOFF_SECONDS_MIN = 0.005
BACKOFF_SECONDS_MAX = 1000.0
"""client-go's DefaultControllerRateLimiter: 5 ms, doubled with each failure of the key, at most 1000 s."""
BUCKETS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""client-go's for both durations, in seconds."""


class ShutDown(Exception):
    """Raised by `get` once the queue is shut down and empty."""


class WorkQueue(Generic[K]):
    """`dirty` wants work, `processing` is worked on, `queue` is the part of `dirty` that may be taken now."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        backoff_seconds_min: float = BACKOFF_SECONDS_MIN,
        backoff_seconds_max: float = BACKOFF_SECONDS_MAX,
    ) -> None:
        self.name = name
        self._clock = clock
        self._backoff_min = backoff_seconds_min
        self._backoff_max = backoff_seconds_max
        self._queue: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: dict[K, float] = {}  # since when
        self._getters: deque[asyncio.Future[None]] = deque()
        self._delayed: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._added_at: dict[K, float] = {}
        self._down = False
        self._adds = 0
        self._retries = 0
        self.waited = Histogram(BUCKETS)
        self.worked = Histogram(BUCKETS)

    def add(self, key: K) -> None:
        """Ask for work on `key` as soon as possible."""
        if self._down or key in self._dirty:
            return
        self._adds += 1
        self._dirty.add(key)
        self._added_at[key] = self._clock.monotonic()
        if key not in self._processing:
            self._push(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Ask for work on `key` in `seconds`; of several delays for one key the earliest counts."""
        if self._down:
            return
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        waiting = self._delayed.get(key)
        if waiting is not None:
            if waiting.when() <= due:
                return
            waiting.cancel()
        self._delayed[key] = loop.call_at(due, self._fire, key)

    def add_rate_limited(self, key: K) -> float:
        """Ask for work on `key` after its back-off, which doubles each time. Returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self._retries += 1
        # Beyond 2**40 the doubling is past any cap, and floats stay exact.
        delay = min(self._backoff_min * 2.0 ** min(failures, 40), self._backoff_max)
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """The key succeeded: its next failure starts with the shortest delay."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How many times in a row `key` was added rate-limited."""
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """The next key; it counts as being worked on until `done`. Raises ShutDown."""
        while not self._queue:
            if self._down:
                raise ShutDown
            await self._wait()
        key = self._queue.popleft()
        now = self._processing[key] = self._clock.monotonic()
        self._dirty.discard(key)
        self.waited.observe(now - self._added_at.pop(key))
        return key

    def done(self, key: K) -> None:
        """Work on `key` ended, well or badly. Added meanwhile, it is handed out again."""
        started = self._processing.pop(key, None)
        if started is not None:
            self.worked.observe(self._clock.monotonic() - started)
        if key in self._dirty:
            self._push(key)

    def shut_down(self) -> None:
        """Accept nothing more; what is queued may still be taken."""
        self._down = True
        for handle in self._delayed.values():
            handle.cancel()
        self._delayed.clear()
        for getter in self._getters:
            if not getter.done():
                getter.set_result(None)

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Nothing queued and nothing being worked on; delayed keys do not count."""
        return not self._dirty and not self._processing

    def statistics(self) -> dict[str, float]:
        """Depths now and totals since the start."""
        return {
            "depth": len(self._queue),
            "processing": len(self._processing),
            "delayed": len(self._delayed),
            "failing": len(self._failures),
            "adds": self._adds,
            "retries": self._retries,
        }

    def working_seconds(self) -> list[float]:
        """Of each key being worked on, how long ago it was taken."""
        now = self._clock.monotonic()
        return [now - started for started in self._processing.values()]

    def _fire(self, key: K) -> None:
        del self._delayed[key]
        self.add(key)

    def _push(self, key: K) -> None:
        self._queue.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    async def _wait(self) -> None:
        getter = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        try:
            await getter
        except asyncio.CancelledError:
            # Woken and cancelled at once: the key this wake-up was for must not be slept on by the others.
            if not getter.cancelled() and self._queue:
                self._wake()
            raise
