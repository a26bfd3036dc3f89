"""Some keys' values encrypted in the file: AES-256-GCM, each value bound to its key and revision; the key ring.

    0x01 · id of the encryption key (8 bytes) · nonce (12) · ciphertext and tag

JSON begins with `{`, so a value that was written before there was encryption is told apart and read. A nonce is random: a
key may seal 2^32 values, which a node that renews Secrets every second does in a century. The ring's first key seals, all
of them open; a rotation adds one, seals everything anew and drops the others (`cluster/encryption.py`), and between any two
of these steps everything can be read. The cryptography library is imported when the first such value is met.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.storage.errors import CannotOpen, Damaged

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MARK = b"\x01"
ID_BYTES, NONCE_BYTES, KEY_BYTES = 8, 12, 32
_START = len(MARK) + ID_BYTES


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """Never shown: neither by repr nor in an error."""

    id: bytes
    secret: bytes

    @classmethod
    def new(cls) -> Key:
        return cls(secrets.token_bytes(ID_BYTES), secrets.token_bytes(KEY_BYTES))


class KeyRing:
    """The file of keys, mode 0600, newest first; it may be a link to another disk."""

    def __init__(self, path: Path, keys: Sequence[Key]) -> None:
        self.path = path
        self.keys = list(keys)

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """The ring of a file, made when there is none. Raises CannotOpen."""
        try:
            text = path.read_text()
        except FileNotFoundError:
            ring = cls(path, ())
            ring.add()
            return ring
        except OSError as error:
            raise CannotOpen(f"cannot read the encryption keys in {path}: {error.strerror}") from error
        try:
            keys = [Key(bytes.fromhex(each["id"]), base64.b64decode(each["key"])) for each in json.loads(text)["keys"]]
        except (ValueError, KeyError, TypeError):
            keys = []
        if not keys or any(len(key.id) != ID_BYTES or len(key.secret) != KEY_BYTES for key in keys):
            raise CannotOpen(f"{path} is no file of encryption keys: put back a copy of it")
        return cls(path, keys)

    def add(self) -> None:
        """A new key that seals from now on; the others still open. It is in the file before anything is sealed with it."""
        self._write([Key.new(), *self.keys])

    def drop_old(self) -> None:
        """Only the newest stays: what another one sealed cannot be read any more."""
        self._write(self.keys[:1])

    def _write(self, keys: list[Key]) -> None:
        """All or nothing, also when the power fails."""
        path = self.path.resolve()
        listed = [{"id": key.id.hex(), "key": base64.b64encode(key.secret).decode()} for key in keys]
        draft = path.with_name(f"{path.name}.tmp")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"keys": listed}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.keys = keys


class Encryption:
    """`storage.sealing.Seal` for the values under some prefixes."""

    def __init__(self, ring: KeyRing, prefixes: Sequence[str]) -> None:
        self._ring = ring
        self._prefixes = tuple(prefixes)
        self._ciphers: dict[bytes, AESGCM] = {}
        self.outdated = False
        """Whether a value was met that would be sealed otherwise today."""

    def seal(self, key: str, revision: int, data: bytes) -> bytes:
        if not key.startswith(self._prefixes):
            return data
        newest = self._ring.keys[0]
        nonce = secrets.token_bytes(NONCE_BYTES)
        return MARK + newest.id + nonce + self._cipher(newest).encrypt(nonce, data, _place(key, revision))

    def open(self, key: str, revision: int, stored: bytes) -> bytes:
        if stored[:1] != MARK:
            self.outdated = self.outdated or key.startswith(self._prefixes)
            return stored
        self.outdated = self.outdated or stored[1:_START] != self._ring.keys[0].id
        found = next((each for each in self._ring.keys if each.id == stored[1:_START]), None)
        if found is None:
            raise CannotOpen(
                f"{key} was encrypted with key {stored[1:_START].hex()}, which is not in {self._ring.path}: "
                "put back a copy of that file, or begin anew with `wherry down --delete`"
            )
        from cryptography.exceptions import InvalidTag

        nonce, sealed = stored[_START : _START + NONCE_BYTES], stored[_START + NONCE_BYTES :]
        try:
            return self._cipher(found).decrypt(nonce, sealed, _place(key, revision))
        except InvalidTag:
            raise Damaged(f"the object of revision {revision} is not what was encrypted") from None

    def stale(self, key: str, head: bytes) -> bool:
        return key.startswith(self._prefixes) and head[:_START] != MARK + self._ring.keys[0].id

    def _cipher(self, key: Key) -> AESGCM:
        cipher = self._ciphers.get(key.id)
        if cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            cipher = self._ciphers[key.id] = AESGCM(key.secret)
        return cipher


def _place(key: str, revision: int) -> bytes:
    """A value copied to another key or another time does not open."""
    return f"{key}\0{revision}".encode()
