"""Secrets in the file: nobody reads them without the key, everybody with it, whatever step was the last one."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from wherry.storage.encryption import Encryption, KeyRing
from wherry.storage.errors import CannotOpen, Corrupt, Damaged
from wherry.storage.sqlite import SqliteStorage

SECRETS = "/registry/core/secrets/"
KEY, OTHER = f"{SECRETS}shop/s", "/registry/core/configmaps/shop/c"
HIDDEN = "b3BlbiBzZXNhbWU="


def ring_of(folder: Path) -> KeyRing:
    return KeyRing.load(folder / "keys.json")


def storage_of(folder: Path, ring: KeyRing | None = None) -> SqliteStorage:
    seal = {} if ring is None else {"seal": Encryption(ring, [SECRETS])}
    return SqliteStorage(folder / "storage.db", inline=True, **seal)


def value(text: str = HIDDEN) -> dict[str, object]:
    return {"kind": "Secret", "metadata": {"name": "s"}, "data": {"word": text}}


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("storage.db*")))


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


async def filled(folder: Path, ring: KeyRing | None) -> None:
    storage = storage_of(folder, ring)
    await storage.start()
    first = await storage.create(KEY, value("older" + HIDDEN))
    await storage.update(KEY, value(), first.revision)
    await storage.create(OTHER, value("seen"))
    entry = storage.get(KEY)
    assert entry is not None
    assert HIDDEN.encode() in entry.data, "memory and answers have the plain bytes"
    await storage.close()


async def read(folder: Path, ring: KeyRing) -> str:
    storage = storage_of(folder, ring)
    await storage.start()
    entry = storage.get(KEY)
    await storage.close()
    assert entry is not None
    return str(entry.value["data"]["word"])


async def test_the_file_does_not_tell(tmp_path: Path) -> None:
    await filled(tmp_path, ring_of(tmp_path))
    assert HIDDEN.encode() not in on_disk(tmp_path)
    assert b"seen" in on_disk(tmp_path), "other kinds are as they are"
    assert await read(tmp_path, ring_of(tmp_path)) == HIDDEN


async def test_the_key_file_is_its_owners_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        ring = ring_of(tmp_path)
        ring.add()
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert "secret" not in repr(ring.keys[0]), "no key is shown by accident"


async def test_what_was_written_before_there_was_encryption_is_read_and_encrypted(tmp_path: Path) -> None:
    await filled(tmp_path, None)
    assert HIDDEN.encode() in on_disk(tmp_path)
    encryption = Encryption(ring_of(tmp_path), [SECRETS])
    storage = SqliteStorage(tmp_path / "storage.db", inline=True, seal=encryption)
    await storage.start()
    assert encryption.outdated
    assert await storage.reseal() == 2
    assert await storage.reseal() == 0
    assert HIDDEN.encode() not in on_disk(tmp_path), "neither in the file nor in its log"
    await storage.close()
    assert await read(tmp_path, ring_of(tmp_path)) == HIDDEN


async def test_a_rotation_can_stop_anywhere(tmp_path: Path) -> None:
    await filled(tmp_path, ring_of(tmp_path))
    first = ring_of(tmp_path).keys[0]
    ring = ring_of(tmp_path)
    ring.add()
    assert await read(tmp_path, ring_of(tmp_path)) == HIDDEN, "the new key is there, nothing was rewritten"
    storage = storage_of(tmp_path, ring)
    await storage.start()
    revision = (await storage.create(f"{SECRETS}shop/new", value())).revision
    database = storage._database
    assert database is not None
    stale = database.stale(limit=10)
    assert len(stale) == 2
    assert revision not in stale
    database.reseal(stale[:1])
    await storage.close()
    assert await read(tmp_path, ring_of(tmp_path)) == HIDDEN, "half is rewritten"
    storage = storage_of(tmp_path, ring)
    await storage.start()
    assert await storage.reseal() == 1
    await storage.close()
    assert await read(tmp_path, ring_of(tmp_path)) == HIDDEN, "all is rewritten, the old key is still there"
    ring.drop_old()
    assert first.id not in [key.id for key in ring_of(tmp_path).keys]
    assert await read(tmp_path, ring_of(tmp_path)) == HIDDEN


async def test_without_its_key_the_file_is_refused_by_name(tmp_path: Path) -> None:
    await filled(tmp_path, ring_of(tmp_path))
    (tmp_path / "keys.json").unlink()
    with pytest.raises(CannotOpen, match=r"was encrypted with key [0-9a-f]{16}, which is not in .*keys\.json"):
        await storage_of(tmp_path, ring_of(tmp_path)).start()


@pytest.mark.parametrize("text", ["", "{", '{"keys": []}', '{"keys": [{"id": "00", "key": "AA=="}]}', '{"keys": [1]}'])
def test_a_file_that_holds_no_keys_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(CannotOpen, match="is no file of encryption keys"):
        ring_of(tmp_path)
    assert (tmp_path / "keys.json").read_text() == text


async def test_a_value_moved_or_changed_is_noticed(tmp_path: Path) -> None:
    ring = ring_of(tmp_path)
    encryption = Encryption(ring, [SECRETS])
    sealed = encryption.seal(KEY, 7, b"{}")
    assert encryption.open(KEY, 7, sealed) == b"{}"
    for key, revision, stored in ((KEY, 8, sealed), (f"{SECRETS}a/b", 7, sealed), (KEY, 7, flipped(sealed))):
        with pytest.raises(Damaged):
            encryption.open(key, revision, stored)
    assert encryption.seal(KEY, 7, b"{}") != sealed, "no nonce twice"
    await filled(tmp_path, ring)
    with sqlite3.connect(tmp_path / "storage.db") as database:
        (found,) = database.execute("SELECT object FROM log WHERE key = ? ORDER BY revision", (KEY,)).fetchone()
        database.execute("UPDATE log SET object = ? WHERE object = ?", (flipped(found), found))
    database.close()
    with pytest.raises(Corrupt, match="is not what was encrypted"):
        await storage_of(tmp_path, ring).start()


def test_the_ring_is_replaced_as_a_whole(tmp_path: Path) -> None:
    ring = ring_of(tmp_path)
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "keys.json")
    KeyRing.load(link).add()
    assert link.is_symlink(), "a link stays a link"
    assert len(json.loads((tmp_path / "keys.json").read_text())["keys"]) == len(ring.keys) + 1
