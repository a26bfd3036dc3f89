"""Makes memory of the rows of a file: pure, and suspicious, since a wrong state is worse than none.

Rows up to the compacted revision are objects whose history is forgotten; newer ones are replayed as the changes they
were, so that watches resume across a restart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from wherry.storage.database import Row
from wherry.storage.errors import Damaged
from wherry.storage.interface import Change, Entry
from wherry.storage.reading import AS_STORED, Reading
from wherry.storage.revision_log import RevisionLog

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def replay(rows: Iterable[Row], compacted: int, log: RevisionLog, reading: Reading = AS_STORED) -> dict[str, int]:
    """Fill an empty log. The answer is key -> revision of the tombstones that are still there. Raises Damaged."""
    tombstones: dict[str, int] = {}
    forgotten = True
    for row in rows:
        if forgotten and row.revision > compacted:
            log.restore_revision(compacted)
            forgotten = False
        if forgotten:
            _restore(row, log, reading)
        else:
            _apply(row, log, tombstones, reading)
    if forgotten:
        log.restore_revision(compacted)
    return tombstones


def _restore(row: Row, log: RevisionLog, reading: Reading) -> None:
    if row.deleted or log.get(row.key) is not None:
        raise Damaged(f"revision {row.revision} should have been compacted")
    log.restore(_entry(row, reading))


def _apply(row: Row, log: RevisionLog, tombstones: dict[str, int], reading: Reading) -> None:
    current = log.get(row.key)
    known = current.revision if current else tombstones.get(row.key, row.replaced)
    if row.replaced != known or (row.deleted and current is None):
        raise Damaged(f"revision {row.revision} follows revision {row.replaced} of its object instead of {known}")
    entry = _entry(row, reading)
    if row.deleted:
        tombstones[row.key] = row.revision
        log.apply(Change("DELETED", entry, current))
    else:
        tombstones.pop(row.key, None)
        log.apply(Change("MODIFIED" if current else "ADDED", entry, current))


def _entry(row: Row, reading: Reading) -> Entry:
    try:
        value = _decode(row.object)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
        raise Damaged(f"the object of revision {row.revision} is not JSON: {error}") from error
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("resourceVersion") != str(row.revision):
        raise Damaged(f"the object of revision {row.revision} belongs to another revision")
    value, data = reading.read(row.key, value, row.object)
    return Entry(row.key, value, data, row.revision, row.created)
