"""The promises of storage in a dict, for simulation and tests. Durable as long as the process lives."""

from __future__ import annotations

from collections.abc import Sequence

from wherry.storage.base import LogStorage
from wherry.storage.interface import Change, Entry


class MemoryStorage(LogStorage):
    """Every write is done when its call returns; nothing waits, so it runs in virtual time."""

    async def start(self) -> None:
        """Nothing to load."""

    def history(self) -> tuple[Change, ...]:
        """Every change so far, as far back as the window goes."""
        return self._log.history()

    def replay(self, history: Sequence[Change]) -> None:
        """Become what another storage was; only before the first change."""
        self._publish(history)

    async def close(self) -> None:
        self._closed = True
        self._hub.close()

    async def compact(self, revision: int) -> None:
        self._log.compact(revision)

    async def _store(self, change: Change) -> Entry:
        self._publish((change,))
        return change.entry
