"""Secrets are encrypted in the file: which keys that are, what is caught up on at a start, and the rotation.

Any step may be the last one before a crash: a key is in the file before it seals, and leaves the file only after nothing is
sealed with it any more. A start finishes a rotation that was cut short.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from wherry.api.types import Obj
from wherry.cluster.paths import State
from wherry.storage.encryption import Encryption, KeyRing
from wherry.storage.errors import CannotOpen, InUse, WriteFailed
from wherry.storage.reading import AS_STORED, Reading
from wherry.storage.sqlite import SqliteStorage

ROTATE = "/wherry/secrets/rotate"
"""What `wherry secrets rotate` posts to; the verb `post` on this path is only cluster-admin's."""
ENCRYPTED = ("/registry/core/secrets/",)


class Sealed:
    """The storage of one system, its Secrets encrypted."""

    def __init__(self, state: State, reading: Reading = AS_STORED, full: Callable[[], bool] = lambda: False) -> None:
        """Makes the file of keys at the very first start. Raises CannotOpen."""
        self._ring = KeyRing.load(state.encryption_keys)
        self._encryption = Encryption(self._ring, ENCRYPTED)
        self._rotating = asyncio.Lock()
        self.storage = SqliteStorage(state.database, seal=self._encryption, reading=reading, full=full)

    async def start(self) -> None:
        """Open it, and encrypt what an older version or a rotation cut short left behind. Raises CannotOpen."""
        await self.storage.start()
        if self._encryption.outdated:
            await self.storage.reseal()
        if len(self._ring.keys) > 1:
            self._ring.drop_old()

    async def rotate(self) -> Obj:
        """A new key, everything encrypted anew, the old key gone. The answer counts values, past revisions too."""
        async with self._rotating:
            self._ring.add()
            count = await self.storage.reseal()
            self._ring.drop_old()
        return {"rewritten": count, "key": self._ring.keys[0].id.hex()}


class Running(Exception):
    """A control plane has the storage open: it must be asked."""


async def rotate_stopped(state: State) -> Obj:
    """The same for a system that does not run. Raises Running, SystemFailure."""
    from wherry.cluster.system import SystemFailure

    try:
        sealed = Sealed(state)
        try:
            await sealed.start()
            return await sealed.rotate()
        finally:
            await sealed.storage.close()
    except InUse:
        raise Running from None
    except (CannotOpen, WriteFailed) as error:
        raise SystemFailure(str(error)) from None
