"""What every storage promises; `testing/contracts/storage.py` holds implementations to it.

One writer's world: revisions are the integers 1, 2, 3 ...; each successful write gets exactly one. A write is
acknowledged, readable and seen by watchers only once it is durable; reads are plain calls on memory.
Keys are `/registry/<group or "core">/<resource>/<namespace or "-">/<name>`; a prefix ends with `/`.
Values are immutable and shared: whoever holds one must not change it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from wherry.api.types import Obj


class Entry(Struct, frozen=True):
    """One object as of one revision. `data` is `value` in JSON, encoded once, metadata.resourceVersion included."""

    key: str
    value: Obj
    data: bytes
    revision: int
    create_revision: int


class Change(Struct, frozen=True):
    """One revision of the log: `previous` is None for ADDED; for DELETED `entry` is the last state, at the revision
    of the delete."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    entry: Entry
    previous: Entry | None

    @property
    def revision(self) -> int:
        return self.entry.revision


class Watch(Protocol):
    """Changes under a prefix, in revision order, none missing. A reader too slow for the bound ends with `Overrun`;
    `close()` of the watch or of the storage ends the iteration."""

    def __aiter__(self) -> AsyncIterator[Change]: ...

    def close(self) -> None: ...


class Storage(Protocol):
    """The object store."""

    @property
    def revision(self) -> int:
        """The newest durable revision; 0 for an empty store."""
        ...

    @property
    def compacted(self) -> int:
        """The oldest revision that can still be listed or watched from; older ones raise `Compacted` (as in etcd)."""
        ...

    async def start(self) -> None: ...

    async def close(self) -> None:
        """Finish what was accepted, then stop. A write after this raises `Closed`."""
        ...

    def get(self, key: str) -> Entry | None:
        """The current entry."""
        ...

    def list(self, prefix: str, revision: int | None = None) -> Sequence[Entry]:
        """Entries under `prefix` in key order, as of `revision` (None: now). Raises Compacted, FutureRevision."""
        ...

    def changed_at(self, prefix: str) -> int:
        """The revision of the newest change under the prefix of a resource or of one namespace in it, 0 for none: as
        long as it stands, so does any encoded LIST."""
        ...

    async def create(self, key: str, value: Obj) -> Entry:
        """Store a new object; sets metadata.resourceVersion to its revision. Raises AlreadyExists."""
        ...

    async def update(self, key: str, value: Obj, expected: int) -> Entry:
        """Replace the object whose revision is `expected`. Raises NotFound, Conflict."""
        ...

    async def delete(self, key: str, expected: int) -> Entry:
        """Remove the object whose revision is `expected`; the answer is its last state at the delete's revision.
        Raises NotFound, Conflict."""
        ...

    def watch(self, prefix: str, after: int) -> Watch:
        """Every change under `prefix` with a revision greater than `after`. Raises Compacted, FutureRevision."""
        ...

    async def compact(self, revision: int) -> None:
        """Forget history before `revision`; `compacted` is then at least that, current objects stay.
        Raises FutureRevision."""
        ...
