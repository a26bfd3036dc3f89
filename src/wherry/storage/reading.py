"""What stands between an object in the file and the object in memory: nothing, or somebody who shows it in another shape.

Storage knows no kinds: it hands over each object while loading and believes the answer. The file stays as it is until the
object is written again. The note is one text in the file, for whoever needs to know who wrote there before.
"""

from __future__ import annotations

from typing import Protocol

from wherry.api.types import Obj


class Reading(Protocol):
    """Asked while loading, before anything else can read or write."""

    def begin(self, note: str | None) -> str | None:
        """`note` is what was noted last, None in a new file and "" in one that never had any; the answer is noted now."""
        ...

    def read(self, key: str, value: Obj, data: bytes) -> tuple[Obj, bytes]:
        """One object as memory is to have it, and its JSON: the very same two where nothing changes. The revision in
        metadata.resourceVersion stays."""
        ...


class AsStored:
    """Everything as it is."""

    def begin(self, note: str | None) -> str | None:
        return note

    def read(self, key: str, value: Obj, data: bytes) -> tuple[Obj, bytes]:
        return value, data


AS_STORED = AsStored()
