"""How long something that keeps failing is left alone: 10 s, doubled each time up to 300 s, forgotten after 10 quiet minutes.

Plain arithmetic over times that are passed in (client-go's `flowcontrol.Backoff` as kubelet uses it).
"""

from __future__ import annotations

from collections.abc import Hashable

from msgspec import Struct

INITIAL_SECONDS = 10.0
MAX_SECONDS = 300.0


class _Entry(Struct):
    delay: float
    updated: float


class Backoff:
    """Delays by key. Holds as many entries as there are failing keys; `forget` drops a key with its pod."""

    def __init__(self, initial_seconds: float = INITIAL_SECONDS, max_seconds: float = MAX_SECONDS) -> None:
        self.initial_seconds = initial_seconds
        self.max_seconds = max_seconds
        self._entries: dict[Hashable, _Entry] = {}

    def next(self, key: Hashable, now: float) -> None:
        """One more attempt is made at `now`: a later one waits longer."""
        entry = self._entries.get(key)
        if entry is None or self._expired(entry, now):
            self._entries[key] = _Entry(self.initial_seconds, now)
        else:
            entry.delay = min(entry.delay * 2, self.max_seconds)
            entry.updated = now

    def hold(self, key: Hashable, since: float) -> tuple[float, float] | None:
        """For a failure at `since`: (the moment until which to wait, the whole delay in seconds); None: no waiting."""
        entry = self._entries.get(key)
        if entry is None or self._expired(entry, since):
            return None
        return since + entry.delay, entry.delay

    def hold_since_update(self, key: Hashable, now: float) -> tuple[float, float] | None:
        """As `hold`, counted from the last attempt (image pulls)."""
        entry = self._entries.get(key)
        if entry is None or self._expired(entry, now) or now >= entry.updated + entry.delay:
            return None
        return entry.updated + entry.delay, entry.delay

    def forget(self, key: Hashable) -> None:
        self._entries.pop(key, None)

    def _expired(self, entry: _Entry, at: float) -> bool:
        return at - entry.updated > self.max_seconds * 2


def go_duration(seconds: float) -> str:
    """`10s`, `1m20s`, `5m0s`, `1h0m0s`, `350ms`: time.Duration's text, as Kubernetes' messages show it."""
    if seconds < 1:
        return f"{_trimmed(seconds * 1000)}ms" if seconds > 0 else "0s"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{_trimmed(rest)}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _trimmed(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
