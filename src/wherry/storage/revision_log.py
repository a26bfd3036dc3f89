"""The rules of revisions, pure: current state, the window of recent changes, state as of an older revision.

No I/O, no clock, no tasks. A write has two halves: `plan_*` checks it against the newest state and gives it its
revision, `apply` makes it true once it is durable. At most one planned write per key may be open at a time (the
caller's duty), so a write that fails leaves nothing to undo; its revision is then a gap, never used again.

Always true: `apply` sees rising revisions; the window holds every change newer than `compacted`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct, field

from wherry.api.types import Obj
from wherry.storage.errors import AlreadyExists, Compacted, Conflict, FutureRevision, NotFound
from wherry.storage.interface import Change, Entry

# Two minutes at 30 writes/s, what a whole rollout of the shop makes. Who is further behind lists again, as with etcd.
WINDOW_CHANGES = 4096
# Encoded bytes; in memory an object is about five times that, so a window full of large objects stays below 50 MB.
WINDOW_BYTES = 8 << 20

_encode: Callable[[Obj], bytes] = msgspec.json.Encoder().encode


def bucket_of(key: str) -> str:
    """`/registry/apps/deployments/` of a key or of a prefix at least that long; "" of a shorter prefix."""
    parts = key.split("/", 4)
    return f"/{parts[1]}/{parts[2]}/{parts[3]}/" if len(parts) == 5 else ""


class Bucket(Struct):
    """One resource: its objects, their keys in order, its part of the window and who waits for changes."""

    prefix: str
    entries: dict[str, Entry] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    changed_at: int = 0
    namespace_changed_at: dict[str, int] = field(default_factory=dict)
    # changes[i] has the position first + i; positions count the bucket's changes and never go back.
    changes: list[Change] = field(default_factory=list)
    first: int = 0
    dropped: int = 0  # leading changes no longer in the window; cut off in blocks, since a cut moves the rest

    def put(self, entry: Entry) -> None:
        if entry.key not in self.entries:
            if self.keys and entry.key < self.keys[-1]:
                insort(self.keys, entry.key)
            else:
                self.keys.append(entry.key)
        self.entries[entry.key] = entry
        self._touch(entry)

    def remove(self, entry: Entry) -> None:
        del self.entries[entry.key]
        del self.keys[bisect_left(self.keys, entry.key)]
        self._touch(entry)

    def _touch(self, entry: Entry) -> None:
        self.changed_at = entry.revision
        self.namespace_changed_at[namespace_prefix(entry.key)] = entry.revision

    def select(self, prefix: str) -> list[Entry]:
        if prefix == self.prefix:
            return [self.entries[key] for key in self.keys]
        low = bisect_left(self.keys, prefix)
        high = bisect_left(self.keys, after_prefix(prefix), low)
        return [self.entries[key] for key in self.keys[low:high]]

    @property
    def oldest(self) -> int:
        """The position of the oldest change still in the window."""
        return self.first + self.dropped

    @property
    def end(self) -> int:
        """The position the next change will have."""
        return self.first + len(self.changes)

    def drop_oldest(self) -> None:
        self.dropped += 1
        if self.dropped >= 512 or self.dropped == len(self.changes):
            del self.changes[: self.dropped]
            self.first += self.dropped
            self.dropped = 0

    def position_after(self, revision: int) -> int:
        """The position of the first change in the window newer than `revision`."""
        index = bisect_left(self.changes, revision + 1, self.dropped, key=lambda change: change.entry.revision)
        return self.first + index


def namespace_prefix(key: str) -> str:
    return key[: key.rfind("/") + 1]


def after_prefix(prefix: str) -> str:
    """The smallest string greater than everything under `prefix`: "0" follows "/"."""
    assert prefix.endswith("/"), prefix
    return prefix[:-1] + "0"


class RevisionLog:
    """Current state and the recent past."""

    def __init__(self, *, window_changes: int = WINDOW_CHANGES, window_bytes: int = WINDOW_BYTES) -> None:
        assert window_changes > 0
        self.revision = 0
        self.compacted = 0
        self._assigned = 0
        self._buckets: dict[str, Bucket] = {}
        self._window: deque[Change] = deque()
        self._window_bytes = 0
        self._window_changes_max = window_changes
        self._window_bytes_max = window_bytes

    # Reading

    def get(self, key: str) -> Entry | None:
        bucket = self._buckets.get(bucket_of(key))
        return bucket.entries.get(key) if bucket else None

    def list(self, prefix: str, revision: int | None = None) -> list[Entry]:
        """Entries under `prefix` in key order, as of `revision`. Raises Compacted, FutureRevision."""
        if revision is None or revision == self.revision:
            return [entry for bucket in self._buckets_under(prefix) for entry in bucket.select(prefix)]
        self.check_readable(revision)
        return [entry for bucket in self._buckets_under(prefix) for entry in _as_of(bucket, prefix, revision)]

    def changed_at(self, prefix: str) -> int:
        bucket = self._buckets.get(prefix)
        if bucket is not None:
            return bucket.changed_at
        home = bucket_of(prefix)
        if home:  # a namespace of one resource, or a resource nothing was ever stored of
            bucket = self._buckets.get(home)
            return bucket.namespace_changed_at.get(prefix, 0) if bucket is not None else 0
        return max((bucket.changed_at for bucket in self._buckets_under(prefix)), default=0)

    def check_readable(self, revision: int) -> None:
        """Raises Compacted or FutureRevision when the state as of `revision` cannot be told."""
        if revision > self.revision:
            raise FutureRevision(revision, self.revision)
        if revision < self.compacted:
            raise Compacted(revision, self.compacted)

    def bucket(self, prefix: str) -> Bucket:
        """The bucket a key or prefix lies in, made when it is not there yet: one may watch before the first write."""
        name = bucket_of(prefix)
        assert name, f"{prefix!r} names no resource"
        found = self._buckets.get(name)
        if found is None:
            found = self._buckets[name] = Bucket(name)
        return found

    def _buckets_under(self, prefix: str) -> Iterable[Bucket]:
        name = bucket_of(prefix)
        if name:
            bucket = self._buckets.get(name)
            return (bucket,) if bucket else ()
        return [self._buckets[name] for name in sorted(self._buckets) if name.startswith(prefix)]

    def history(self) -> tuple[Change, ...]:
        """The window."""
        return tuple(self._window)

    # Writing

    def plan_create(self, key: str, value: Obj) -> Change:
        if self.get(key) is not None:
            raise AlreadyExists(key)
        revision = self._next_revision()
        return Change("ADDED", _entry(key, value, revision, revision), None)

    def plan_update(self, key: str, value: Obj, expected: int) -> Change:
        current = self._expect(key, expected)
        entry = _entry(key, value, self._next_revision(), current.create_revision)
        return Change("MODIFIED", entry, current)

    def plan_delete(self, key: str, expected: int) -> Change:
        current = self._expect(key, expected)
        entry = _entry(key, current.value, self._next_revision(), current.create_revision)
        return Change("DELETED", entry, current)

    def _expect(self, key: str, expected: int) -> Entry:
        current = self.get(key)
        if current is None:
            raise NotFound(key)
        if current.revision != expected:
            raise Conflict(key, expected, current.revision)
        return current

    def _next_revision(self) -> int:
        self._assigned += 1
        return self._assigned

    def apply(self, change: Change) -> Bucket:
        """Make a durable change true. The answer is the bucket it happened in."""
        entry = change.entry
        assert entry.revision > self.revision, "changes are applied in the order of their revisions"
        bucket = self.bucket(entry.key)
        assert bucket.entries.get(entry.key) is change.previous, f"{entry.key} changed between plan and apply"
        if change.type == "DELETED":
            bucket.remove(entry)
        else:
            bucket.put(entry)
        self.revision = entry.revision
        self._assigned = max(self._assigned, entry.revision)
        bucket.changes.append(change)
        self._window.append(change)
        self._window_bytes += len(entry.data)
        while len(self._window) > self._window_changes_max or self._window_bytes > self._window_bytes_max:
            self._drop_oldest()
        return bucket

    def compact(self, revision: int) -> None:
        """Forget what happened up to `revision`. Raises FutureRevision."""
        if revision > self.revision:
            raise FutureRevision(revision, self.revision)
        while self._window and self._window[0].entry.revision <= revision:
            self._drop_oldest()
        self.compacted = max(self.compacted, revision)
        for bucket in self._buckets.values():
            # A namespace that is gone would stay here for ever; nobody can ask for its past any more.
            live = {namespace_prefix(key) for key in bucket.keys}
            for prefix, changed in list(bucket.namespace_changed_at.items()):
                if changed <= revision and prefix not in live:
                    del bucket.namespace_changed_at[prefix]

    def _drop_oldest(self) -> None:
        change = self._window.popleft()
        self._window_bytes -= len(change.entry.data)
        self.bucket(change.entry.key).drop_oldest()
        self.compacted = change.entry.revision

    # Starting

    def restore(self, entry: Entry) -> None:
        """Load one object written at or before the compacted revision: it is current, its history is unknown."""
        assert entry.revision > self.revision, "restored in the order of revisions"
        self.bucket(entry.key).put(entry)
        self.revision = self._assigned = self.compacted = entry.revision

    def restore_revision(self, revision: int) -> None:
        """Revisions up to `revision` have been used, whatever is left of them, and their history is unknown."""
        assert not self._window, "only before the first change"
        self.revision = self._assigned = self.compacted = max(self.revision, revision)


def _as_of(bucket: Bucket, prefix: str, revision: int) -> list[Entry]:
    """Undo the changes newer than `revision`, newest first."""
    state = {entry.key: entry for entry in bucket.select(prefix)}
    for index in range(len(bucket.changes) - 1, bucket.dropped - 1, -1):
        change = bucket.changes[index]
        if change.entry.revision <= revision:
            break
        if not change.entry.key.startswith(prefix):
            continue
        if change.previous is None:
            del state[change.entry.key]
        else:
            state[change.entry.key] = change.previous
    return [state[key] for key in sorted(state)]


def _entry(key: str, value: Obj, revision: int, create_revision: int) -> Entry:
    value = {**value, "metadata": {**value["metadata"], "resourceVersion": str(revision)}}
    return Entry(key, value, _encode(value), revision, create_revision)
