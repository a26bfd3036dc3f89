"""Operations on containers in tier `proc`: a writable layer is told from the copy of the image that it began as, and the next
container of the same image finds a copy in store."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from wherry.launcher import jobs
from wherry.launcher.containers import ContainerOperations
from wherry.launcher.inits import Inits
from wherry.launcher.loop import Loop
from wherry.launcher.proc import copies, difference
from wherry.launcher.protocol import LauncherError
from wherry.launcher.records import Container, Records

STARTED_MAX = 256
"""Images of which is known that they were started before."""
QUIET_SECONDS = 0.1
"""A copy for the next container is made when the program of this one has begun: made sooner, it doubled what that took."""


class ProcContainers(ContainerOperations):
    """As in the other tiers but for the layer. In `shared` lie copies of images."""

    def __init__(self, loop: Loop, records: Records, inits: Inits, shared: str) -> None:
        super().__init__(loop, records, inits)
        self._shared = shared
        self._before: dict[tuple[str, ...], bool] = {}
        """Images by their layers; whether a copy is being made."""

    def _started(self, container: Container) -> None:
        """One that was started twice will be again; a step of a build, whose image nobody has, will not."""
        layers = tuple(container.spec["rootfs"]["layers"])
        if not layers or container.spec["readonly_rootfs"]:
            return
        making = self._before.get(layers)
        if making is None and len(self._before) >= STARTED_MAX:
            del self._before[next(iter(self._before))]
        self._before[layers] = making is not None
        if making is False:
            self._store(layers, host=container.spec["rootfs"]["host"])

    def _store(self, layers: tuple[str, ...], *, host: bool) -> None:
        def done(error: str | None) -> None:
            if error is not None:
                print(f"launcher: no copy of an image in store: {error}", file=sys.stderr, flush=True)
            self._before[layers] = False

        jobs.run(self._loop, lambda: _copy(layers, self._shared, host=host), set(), done)

    def _settle(self, container: Container) -> None:
        difference.reduce(container.spec["rootfs"]["layers"], f"{container.directory}/upper")


def _copy(layers: Sequence[str], shared: str, *, host: bool) -> None:
    time.sleep(QUIET_SECONDS)
    os.nice(19)
    try:
        copies.store(layers, shared, host=host)
    except LauncherError:  # there is no room for one: it is copied at every start
        return
