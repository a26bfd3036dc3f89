"""Where the data of provisioned volumes lies: one directory per volume under one root."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Protocol

from wherry.launcher.trees import make_shallow


class Directories(Protocol):
    """Makes and removes the directory of a volume. Both may be repeated."""

    async def create(self, name: str) -> str:
        """The absolute path of the (now existing) directory. Raises OSError."""
        ...

    async def remove(self, name: str) -> None:
        """Remove the directory and all that is in it. Raises OSError."""
        ...


class HostDirectories:
    """Directories on this machine. The work is done in threads: removing may take long."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def create(self, name: str) -> str:
        return await asyncio.to_thread(self._create, name)

    async def remove(self, name: str) -> None:
        await asyncio.to_thread(self._remove, name)

    def _create(self, name: str) -> str:
        path = self._path(name)
        path.mkdir(parents=True, exist_ok=True)
        # Containers run as whatever user their image says; the root above it is closed to strangers.
        os.chmod(path, 0o777)  # noqa: S103
        return str(path)

    def _remove(self, name: str) -> None:
        path = self._path(name)
        if path.exists():
            make_shallow(str(path))
            shutil.rmtree(path)

    def _path(self, name: str) -> Path:
        assert name, "a volume has a name"
        assert "/" not in name, name
        assert name not in (".", ".."), name
        return (self._root / name).absolute()
