"""Encoded once: the joined items of lists, kept while nothing under their prefix changes, and the events of watches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from wherry.storage.interface import Entry, Storage

CACHED_BYTES = 32 << 20
"""Enough for 10,000 pods, small beside the objects themselves."""
TRACKED_PREFIXES = 1024
"""Prefixes whose last use is remembered; there are about two per resource and namespace."""
FRAMES_KEPT = 1024
"""Encoded events shared between watchers; each reads them within moments of one another."""


def join(entries: Sequence[Entry], prefix: bytes) -> bytes:
    """The items of a list: stored bytes without kind and apiVersion, as Kubernetes writes them."""
    if not entries:
        return b""
    assert entries[0].data.startswith(prefix), "stored objects begin with kind and apiVersion"
    skip = len(prefix)
    return b"{" + b",{".join([entry.data[skip:] for entry in entries])


class Bodies:
    """Joined items by prefix. One is kept from its second use on, so that a list nobody repeats costs no memory."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._used: OrderedDict[str, int] = OrderedDict()
        self._bodies: OrderedDict[str, tuple[int, bytes]] = OrderedDict()
        self._bytes = 0

    def items(self, key: str, entries: Sequence[Entry], prefix: bytes) -> bytes:
        """The joined `entries`, which are all there is under the storage prefix `key` now."""
        version = self._storage.changed_at(key)
        known = self._bodies.get(key)
        if known is not None:
            if known[0] == version:
                return known[1]
            self._forget(key)
        body = join(entries, prefix)
        if self._used.get(key) == version and len(body) <= CACHED_BYTES:
            self._bodies[key] = (version, body)
            self._bytes += len(body)
            while self._bytes > CACHED_BYTES:
                self._forget(next(iter(self._bodies)))
        self._used[key] = version
        self._used.move_to_end(key)
        if len(self._used) > TRACKED_PREFIXES:
            self._used.popitem(last=False)
        return body

    def known(self, key: str) -> bytes | None:
        """The joined items, when they are at hand and still true."""
        known = self._bodies.get(key)
        return known[1] if known is not None and known[0] == self._storage.changed_at(key) else None

    def _forget(self, key: str) -> None:
        self._bytes -= len(self._bodies.pop(key)[1])


class Frames:
    """Encoded watch events by (event, representation), shared between watchers."""

    def __init__(self) -> None:
        self._frames: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()

    def get(self, key: tuple[Any, ...]) -> bytes | None:
        return self._frames.get(key)

    def put(self, key: tuple[Any, ...], frame: bytes) -> None:
        self._frames[key] = frame
        if len(self._frames) > FRAMES_KEPT:
            self._frames.popitem(last=False)
