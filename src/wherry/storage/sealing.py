"""What stands between an object's bytes and the file: nothing, or a cipher for some of the keys.

Storage knows neither ciphers nor kinds: it hands over key, revision and bytes. Memory, watchers and answers always have the
plain bytes. Called in the writer thread (`seal`) and while loading (`open`).
"""

from __future__ import annotations

from typing import Protocol

HEAD_BYTES = 16
"""So much of a stored value tells how it is sealed."""


class Seal(Protocol):
    """A pair of functions that undo each other."""

    def seal(self, key: str, revision: int, data: bytes) -> bytes:
        """What the file gets."""
        ...

    def open(self, key: str, revision: int, stored: bytes) -> bytes:
        """Raises CannotOpen when it would take a key we do not have, Damaged when it is not what was sealed."""
        ...

    def stale(self, key: str, head: bytes) -> bool:
        """Whether `seal` would do it otherwise today; `head` is the first HEAD_BYTES of what is stored."""
        ...


class Plain:
    """Everything as it is."""

    def seal(self, key: str, revision: int, data: bytes) -> bytes:
        return data

    def open(self, key: str, revision: int, stored: bytes) -> bytes:
        return stored

    def stale(self, key: str, head: bytes) -> bool:
        return False


PLAIN = Plain()
