"""Waiting for files of one directory to change, by inotify(7). Linux; standard library only."""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path

_IN_MODIFY, _IN_MOVED_FROM, _IN_MOVED_TO, _IN_CREATE, _IN_DELETE_SELF = 0x2, 0x40, 0x80, 0x100, 0x400
_MASK = _IN_MODIFY | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE_SELF
_EVENT_BYTES = 64 << 10  # all that is queued is taken at once: only that something changed is of interest

_libc = ctypes.CDLL(None, use_errno=True)


class DirectoryWatch:
    """Context manager. Changes between two `wait_changed` are never lost. Raises OSError when there are no watches left."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._fd = -1
        self._changed = asyncio.Event()

    def __enter__(self) -> DirectoryWatch:
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        if _libc.inotify_add_watch(self._fd, os.fsencode(self._directory), _MASK) < 0:
            error = ctypes.get_errno()
            os.close(self._fd)
            raise OSError(error, f"inotify_add_watch {self._directory}")
        asyncio.get_running_loop().add_reader(self._fd, self._drain)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def poke(self) -> None:
        """Something else that a waiter should look at."""
        self._changed.set()

    async def wait_changed(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    def _drain(self) -> None:
        try:
            os.read(self._fd, _EVENT_BYTES)
        except BlockingIOError:
            return
        self._changed.set()
