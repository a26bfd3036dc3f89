"""What storage raises.

StorageError
├── NotFound         update, delete: no such key
├── AlreadyExists    create: the key is taken
├── Conflict         update, delete: the newest revision is another than expected
├── Compacted        list, watch: the revision is older than what is still known (HTTP 410)
├── FutureRevision   list, watch, compact: the revision has not happened yet
├── Overrun          iterating a watch: the reader was too slow and has missed changes (410, list again)
├── WriteFailed      any write: it could not be made durable (disk full, I/O error); nothing was stored
├── Closed           any write after close()
├── Damaged          replaying the rows of a file: they contradict each other; start makes Corrupt of it
└── CannotOpen       start: the message says what to do
    ├── InUse        another process holds the database
    └── Corrupt      the file is damaged, or not ours
"""

from __future__ import annotations


class StorageError(Exception):
    """Any failure of storage."""


class NotFound(StorageError):
    def __init__(self, key: str) -> None:
        super().__init__(f"{key} does not exist")
        self.key = key


class AlreadyExists(StorageError):
    def __init__(self, key: str) -> None:
        super().__init__(f"{key} exists already")
        self.key = key


class Conflict(StorageError):
    def __init__(self, key: str, expected: int, current: int) -> None:
        super().__init__(f"{key} is at revision {current}, not {expected}")
        self.key = key
        self.expected = expected
        self.current = current


class Compacted(StorageError):
    def __init__(self, revision: int, compacted: int) -> None:
        super().__init__(f"revision {revision} is compacted, the oldest known is {compacted}")
        self.revision = revision
        self.compacted = compacted


class FutureRevision(StorageError):
    def __init__(self, revision: int, current: int) -> None:
        super().__init__(f"revision {revision} has not happened yet, the newest is {current}")
        self.revision = revision
        self.current = current


class Overrun(StorageError):
    """The watch ended because changes it had not read yet were dropped."""


class WriteFailed(StorageError):
    """The write is not stored and nobody has seen it; trying again later is safe."""


class Closed(StorageError):
    """Storage no longer accepts writes."""


class Damaged(StorageError):
    """What was read cannot be what was written."""


class CannotOpen(StorageError):
    """The database cannot be used."""


class InUse(CannotOpen):
    """Another process has it open."""


class Corrupt(CannotOpen):
    """The file cannot be trusted."""
