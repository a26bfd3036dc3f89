"""Watching: a cursor into one bucket's part of the window.

A watch keeps no queue of its own: it remembers a position and reads the changes from the shared window, so a hundred
watchers cost a hundred integers. One that falls behind the window has missed something and ends with `Overrun`.
Publishing wakes the watchers of the touched bucket only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

from wherry.storage.errors import Overrun
from wherry.storage.interface import Change
from wherry.storage.revision_log import Bucket, RevisionLog

WOKEN_AT_ONCE = 500
"""Of more watchers, the others are woken in the next turns of the loop: ten thousand take half a second, in which others ask."""


class BucketWatch:
    """`storage.interface.Watch` over one resource or one namespace of it. For one reader."""

    def __init__(self, hub: WatchHub, bucket: Bucket, prefix: str, position: int) -> None:
        self._hub = hub
        self._bucket = bucket
        self._prefix = "" if prefix == bucket.prefix else prefix
        self._position = position
        self._closed = False
        self._waiting: asyncio.Future[None] | None = None

    def __aiter__(self) -> AsyncIterator[Change]:
        return self

    async def __anext__(self) -> Change:
        while True:
            change = self._next_ready()
            if change is not None:
                return change
            if self._closed:
                raise StopAsyncIteration
            assert self._waiting is None, "a watch has one reader"
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None

    def _next_ready(self) -> Change | None:
        bucket = self._bucket
        if self._closed:
            return None
        if self._position < bucket.oldest:
            self.close()
            raise Overrun(f"the watch of {self._prefix or bucket.prefix} fell behind the window of changes")
        while self._position < bucket.end:
            change = bucket.changes[self._position - bucket.first]
            self._position += 1
            if change.entry.key.startswith(self._prefix):
                return change
        return None

    def wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self) -> None:
        self._closed = True
        self._hub.forget(self._bucket, self)
        self.wake()


class WatchHub:
    """The open watches, by bucket."""

    def __init__(self, log: RevisionLog) -> None:
        self._log = log
        # In the order in which they were opened, which a set would not keep: whoever is woken first goes on first.
        self._watches: dict[str, dict[BucketWatch, None]] = {}

    def watch(self, prefix: str, after: int) -> BucketWatch:
        """Raises Compacted, FutureRevision."""
        self._log.check_readable(after)
        bucket = self._log.bucket(prefix)
        opened = BucketWatch(self, bucket, prefix, bucket.position_after(after))
        self._watches.setdefault(bucket.prefix, {})[opened] = None
        return opened

    def wake(self, buckets: Iterable[Bucket]) -> None:
        """Tell the watchers of each bucket that there is something to read."""
        for bucket in buckets:
            watches = self._watches.get(bucket.prefix, ())
            if len(watches) <= WOKEN_AT_ONCE:
                for watch in watches:
                    watch.wake()
            else:
                self._wake_in_turns(deque(watches))

    def _wake_in_turns(self, watches: deque[BucketWatch]) -> None:
        """A watch that was closed meanwhile takes no notice."""
        for _ in range(min(WOKEN_AT_ONCE, len(watches))):
            watches.popleft().wake()
        if watches:
            asyncio.get_running_loop().call_soon(self._wake_in_turns, watches)

    def forget(self, bucket: Bucket, watch: BucketWatch) -> None:
        watches = self._watches.get(bucket.prefix)
        if watches is not None:
            watches.pop(watch, None)
            if not watches:
                del self._watches[bucket.prefix]

    def close(self) -> None:
        """End every watch."""
        for watches in list(self._watches.values()):
            for watch in list(watches):
                watch.close()
