"""A second holder for netd's descriptors: the launcher keeps duplicates, so that `kill -9` of netd closes nothing.

Is: a queue in front of `fds.put` and `fds.drop`. Always true: what is put and dropped before its turn costs nothing; a
descriptor is sent only while its owner still has it; losing the launcher is the session's business, not ours.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from wherry.launcher.client import LauncherClient, LauncherError

log = logging.getLogger(__name__)

CALLS_AT_ONCE = 32
"""The launcher answers in order; this many requests wait in its socket."""
NAMES_PER_DROP = 500


class Keeper:
    """Puts and drops in the order in which they were asked for, in the background of `run`."""

    def __init__(self, launcher: LauncherClient) -> None:
        self._launcher = launcher
        self._puts: dict[str, Sequence[int]] = {}
        self._drops: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._full = False

    def put(self, name: str, fds: Sequence[int]) -> None:
        """Have `fds` held as `name`; the caller keeps them open until it calls `drop`."""
        self._drops.pop(name, None)  # what was held under the name before is replaced
        self._puts[name] = fds
        self._wake.set()

    def drop(self, name: str) -> None:
        """Called before the descriptors are closed."""
        if self._puts.pop(name, None) is None:
            self._drops[name] = None
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled, or the launcher is gone (ConnectionError)."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._puts or self._drops:
                puts = list(self._puts)[:CALLS_AT_ONCE]
                await asyncio.gather(*(self._put(name) for name in puts))
                await self._drop()

    async def _put(self, name: str) -> None:
        fds = self._puts.pop(name, None)
        if fds is None:
            return  # closed meanwhile
        try:
            await self._launcher.call("fds.put", fds, name=name)
            self._full = False
        except LauncherError as error:
            if not self._full:
                log.warning("connections from now on end with this process: %s", error)
            self._full = True

    async def _drop(self) -> None:
        names = list(self._drops)[:NAMES_PER_DROP]
        for name in names:
            del self._drops[name]
        if names:
            await self._launcher.call("fds.drop", names=names)

    async def take_all(self, prefix: str) -> dict[str, list[int]]:
        """Everything held under names that start with `prefix`; the descriptors are the caller's."""
        found: dict[str, list[int]] = {}
        reply = await self._launcher.call("fds.list", prefix=prefix)
        for name in reply.args["names"]:
            try:
                found[name] = (await self._launcher.call("fds.take", name=name)).fds
            except LauncherError:
                continue  # dropped meanwhile
        return found
