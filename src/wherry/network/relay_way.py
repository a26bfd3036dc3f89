"""The way past netd in tier `proc`, where pods have no packets: a door of netd before each port that a chosen pod is reached at.

The shim leads new connections and datagrams of chosen pods to the door instead of the port (`launcher/proc/detours.py`); the door
carries them on, as late as faults say. Connections that stand are not met, and end with netd. A connection that is led past netd
stays so, and is no longer late when the fault is over.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol, TypeAlias

from wherry.aio.clock import Clock
from wherry.chaos.between import Between
from wherry.chaos.faults import Fault
from wherry.launcher.client import LauncherClient
from wherry.launcher.proc.ports import TCP, Place, Ports
from wherry.network.late_datagrams import DatagramDoor
from wherry.network.late_streams import StreamDoor

log = logging.getLogger(__name__)

DOORS_MAX = 2000
"""Ports that are listened on; pods have a few each."""
NO_LOSS = (
    "in tier proc what pods send is carried on by connections, not by packets, and no part of a connection can be lost: "
    "a loss of 100% parts pods, a delay works too; other losses need the tiers ns-user or ns-root"
)
_Key: TypeAlias = tuple[str, Place]
"""Protocol and real place."""


class Door(Protocol):
    place: Place
    """Where it is."""

    def close(self) -> None:
        """Nobody new comes in."""
        ...


class RelayWay:
    """As `detour.Way`."""

    def __init__(self, launcher: LauncherClient, ports: Ports, between: Between, clock: Clock) -> None:
        self._launcher = launcher
        self._ports = ports
        self._between = between
        self._clock = clock
        self._doors: dict[_Key, tuple[str, int, Door]] = {}
        self._sent: list[list[object]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.made = False

    def refuses(self, fault: Fault) -> str:
        return NO_LOSS if 0 < float(fault.what.get("loss", 0.0)) < 1 else ""

    async def lead(self, between: Between, joined: bool) -> None:
        """Ports come and go with pods and their programs: they are looked at each time."""
        self.made = True
        callers = _callers(between)
        wanted = {
            (protocol, place): (ip, port) for ip in sorted(callers) for protocol, port, place in self._ports.of(ip)
        }
        for key in self._doors.keys() - wanted.keys():
            self._doors.pop(key)[2].close()
        for key in list(wanted.keys() - self._doors.keys())[: DOORS_MAX - len(self._doors)]:
            self._open(key, *wanted[key])
        await self._send([
            [protocol, list(place), list(door.place), port, sorted(callers[ip])]
            for (protocol, place), (ip, port, door) in sorted(self._doors.items(), key=lambda each: each[0])
        ])  # fmt: skip

    def _open(self, key: _Key, ip: str, port: int) -> None:
        protocol, place = key
        make = StreamDoor if protocol == TCP else DatagramDoor
        try:
            door = make(place, ip, self._between, self._clock)
        except OSError as error:
            log.warning("no door before port %d of %s: %s", port, ip, error)
            return
        self._doors[key] = (ip, port, door)
        if isinstance(door, StreamDoor):
            task = asyncio.ensure_future(door.run())
            self._tasks.add(task)
            task.add_done_callback(lambda task: self._ended(task, door))

    def _ended(self, task: asyncio.Task[None], door: StreamDoor) -> None:
        door.leave()
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a door has ended before its time", exc_info=error)

    async def undo(self) -> None:
        await self._send([])
        self._close_doors()

    async def _send(self, detours: list[list[object]]) -> None:
        if detours != self._sent or not detours:
            await self._launcher.call("node.detours", detours=detours)
            self._sent = detours

    def _close_doors(self) -> None:
        for _, _, door in self._doors.values():
            door.close()
        self._doors.clear()
        self.made = False

    def close(self) -> None:
        """Connections that are carried end here."""
        self._close_doors()
        for task in self._tasks:
            task.cancel()


def _callers(between: Between) -> dict[str, set[str]]:
    """By pod: from which pods what comes to it is met. One direction of a fault is a part of connections both ways."""
    found: dict[str, set[str]] = {}
    for line in between.lines():
        for ends in ((line.sources, line.targets), (line.targets, line.sources)):
            for target in ends[1]:
                found.setdefault(target, set()).update(ends[0])
    return found
