"""Leads what chosen pods send one another past netd, while a fault of the network holds.

Is: follows the faults and says what became of them. Is not: the way past netd, which is the kernel's (`kernel_way.py`) or, in
tier `proc`, relayed connections (`relay_way.py`).
Always true: a fault whose lease has run out is undone within LOOK_SECONDS, whoever else lives; what an earlier netd that was
killed left behind is removed first. Costs nothing, not even a look, until somebody says that there is a fault.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from wherry.aio.clock import Clock
from wherry.chaos.between import Between
from wherry.chaos.faults import NETWORK, Fault, Faults
from wherry.chaos.kept import LOOK_SECONDS
from wherry.launcher.client import LauncherError
from wherry.network.nfnetlink import NetlinkError
from wherry.network.told import Told

log = logging.getLogger(__name__)


class Way(Protocol):
    """Methods raise LauncherError, NetlinkError, OSError; ConnectionError when the launcher is gone."""

    @property
    def made(self) -> bool:
        """Whether there is something to undo."""
        ...

    def refuses(self, fault: Fault) -> str:
        """Why this fault can never be made in this way, "" if it can."""
        ...

    async def lead(self, between: Between, joined: bool) -> None:
        """Everything goes past netd that `between` is about; `joined`: others than before. Called every LOOK_SECONDS."""
        ...

    async def undo(self) -> None:
        """Everything goes straight, whatever was there before; what was held goes on at once."""
        ...

    def close(self) -> None:
        """Without the launcher."""
        ...


class Detour:
    """Of one launcher. `told` says what is there to be followed, and hears what became of it."""

    def __init__(self, way: Way, between: Between, faults: Faults, told: Told, clock: Clock) -> None:
        self._way = way
        self._between = between
        self._faults = faults
        self._told = told
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled, or the launcher is gone (ConnectionError)."""
        try:
            await self._undo()
            while True:
                await self._told.wait()
                await self._follow()
        finally:
            self._way.close()

    async def _follow(self) -> None:
        """Until no fault holds any more, and none has just been told of."""
        while (faults := self._faults.active(NETWORK)) or self._told.lately():
            refused = {fault.name: why for fault in faults if (why := self._refuses(fault))}
            possible = [fault for fault in faults if fault.name not in refused]
            self._told.say(self._told.all, refused)
            if possible:
                await self._lead(possible, refused)
            elif self._way.made:
                await self._undo()
            await self._clock.sleep(LOOK_SECONDS)
        await self._undo()

    def _refuses(self, fault: Fault) -> str:
        """What was refused once stays so."""
        return self._told.refused.get(fault.name) or self._way.refuses(fault)

    async def _lead(self, faults: Sequence[Fault], refused: dict[str, str]) -> None:
        try:
            joined = self._between.set(faults)
            await self._way.lead(self._between, joined or not self._way.made)
        except ConnectionError:
            raise
        except (LauncherError, NetlinkError, OSError) as error:
            log.warning("faults of the network are not made: %s", error)
            why = f"what pods send one another cannot be led past netd here: {error}"
            await self._undo()
            self._told.say((), {**refused, **{fault.name: why for fault in faults}})
        else:
            self._told.say((fault.name for fault in faults), refused)

    async def _undo(self) -> None:
        self._between.set(())
        try:
            await self._way.undo()
        except LauncherError as error:
            log.info("nothing to undo: %s", error)  # a kernel that could not have done it
        self._told.say((), {})
