"""Events live for an hour, as in Kubernetes; whoever is older goes, a few at a time, and where there are none nobody looks."""

from __future__ import annotations

import logging

from wherry.aio.clock import Clock, parse_rfc3339
from wherry.apiserver.registry.generic import Registry
from wherry.storage import errors as storage_errors
from wherry.storage.interface import Entry, Storage

log = logging.getLogger(__name__)
TTL_SECONDS = 3600.0
"""kube-apiserver's --event-ttl."""
SWEEP_SECONDS = 60.0
DELETED_AT_ONCE = 500
"""Of one sweep, so that a flood of old events does not hold up everybody else's writes."""


class EventTTL:
    def __init__(self, storage: Storage, events: Registry, clock: Clock) -> None:
        self._storage = storage
        self._events = events
        self._clock = clock

    async def run(self) -> None:
        while True:
            await self._clock.sleep(max(SWEEP_SECONDS, self._seconds_left()))
            await self.sweep()

    def _seconds_left(self) -> float:
        """Until the oldest is too old; whoever comes meanwhile is younger."""
        written = [_last_written(entry) for entry in self._storage.list(self._events.prefix)]
        return TTL_SECONDS + (min(written) - self._clock.time() if written else 0.0)

    async def sweep(self) -> int:
        """Delete what is too old; the answer is how many that were."""
        limit = self._clock.time() - TTL_SECONDS
        old = [entry for entry in self._storage.list(self._events.prefix) if _last_written(entry) < limit]
        for entry in old[:DELETED_AT_ONCE]:
            try:
                await self._storage.delete(entry.key, entry.revision)
            except (storage_errors.Conflict, storage_errors.NotFound):
                continue  # counted up or deleted just now
            except storage_errors.StorageError as error:
                log.warning("old events stay for now: %s", error)
                break
        return len(old[:DELETED_AT_ONCE])


def _last_written(entry: Entry) -> float:
    """An Event's time starts anew with every count, as its lease does in etcd."""
    event = entry.value
    series = event.get("series") or {}
    for text in (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime")):
        if text:
            return parse_rfc3339(text)
    return parse_rfc3339(event["metadata"]["creationTimestamp"])
