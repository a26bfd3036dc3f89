"""Pods waiting for a node, in three places.

    active          ready to be tried, highest priority first, then first come
    backoff         tried in vain and since then something happened; wait a little
    unschedulable   tried in vain, and nothing has happened since that could help

As kube-scheduler (from 1.33): when nothing is active, whoever waits in backoff is tried early, because trying costs
nothing then; only pods whose try ended in an error must sit their back-off out. No timer runs while all is quiet.
Bounded by the number of pending pods.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

from msgspec import Struct, field

from wherry.aio.clock import Clock
from wherry.api.types import Obj
from wherry.scheduler.framework import Happening
from wherry.scheduler.pod_info import PodInfo

BACKOFF_SECONDS_MIN = 1.0
BACKOFF_SECONDS_MAX = 10.0
UNSCHEDULABLE_SECONDS_MAX = 300.0
"""After five minutes a pod is tried again even if nothing seems to have happened, in case a happening was missed."""


class Pending(Struct):
    """A pod in the queue with the history of its tries."""

    info: PodInfo
    since: float
    tries: int = 0
    errors: int = 0
    helped_by: frozenset[Happening] = frozenset()
    ready_at: float = 0.0
    where: str = field(default="")
    number: int = 0


class SchedulingQueue:
    """Every pending pod is in exactly one place, or in the hands of the scheduler (between `pop` and what follows)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pods: dict[str, Pending] = {}
        self._helped_by: dict[Happening, dict[str, Pending]] = {}
        """Who may be unschedulable until this happens; entries of pods that moved on meanwhile are void."""
        self._active: list[tuple[int, float, int, str]] = []
        self._backoff: list[tuple[float, int, str]] = []
        self._numbers = count(1)
        self._wake = asyncio.Event()

    def add(self, info: PodInfo) -> None:
        """A pod without a node, new or changed in a way that may make it schedulable: try it now."""
        pending = self._pods.get(info.uid)
        if pending is None:
            pending = self._pods[info.uid] = Pending(info, self._clock.monotonic())
        pending.info = info
        if pending.where != "popped":
            self._activate(pending)

    def refresh(self, uid: str, pod: Obj) -> None:
        """A newer version of a waiting pod that asks for nothing else: keep it for the status to compare with."""
        pending = self._pods.get(uid)
        if pending is not None:
            pending.info.pod = pod

    def remove(self, uid: str) -> None:
        """It has a node, is gone, or is somebody else's."""
        pending = self._pods.pop(uid, None)
        for happening in pending.helped_by if pending is not None else ():
            self._helped_by.get(happening, {}).pop(uid, None)

    async def pop(self) -> Pending:
        """The next pod to try."""
        while True:
            pending = self._take_active() or self._take_backoff()
            if pending is not None:
                pending.where = "popped"
                pending.tries += 1
                return pending
            await self._sleep()

    def unschedulable(self, pending: Pending, helped_by: frozenset[Happening]) -> None:
        """No node takes it now. It comes back when one of these happens; decide and say so without awaiting in between,
        else one that happens meanwhile is missed."""
        if self._pods.get(pending.info.uid) is not pending:
            return
        pending.errors = 0
        pending.helped_by = helped_by
        pending.ready_at = self._clock.monotonic() + self._delay(pending.tries)
        pending.where = "unschedulable"
        for happening in helped_by:
            self._helped_by.setdefault(happening, {})[pending.info.uid] = pending

    def failed(self, pending: Pending) -> None:
        """A node was found but the binding failed, or our own code did: again after the back-off."""
        if self._pods.get(pending.info.uid) is not pending:
            return
        pending.errors += 1
        pending.ready_at = self._clock.monotonic() + self._delay(pending.errors)
        self._back_off(pending)

    def activate(self, uid: str) -> None:
        """It lost what it was waiting for: try it now."""
        pending = self._pods.get(uid)
        if pending is not None and pending.where in ("unschedulable", "backoff"):
            self._activate(pending)

    def happened(self, happening: Happening) -> None:
        """Move everyone whom this may help. Costs nothing for those it cannot: pods come and go by the thousand."""
        for uid, pending in self._helped_by.pop(happening, {}).items():
            if self._pods.get(uid) is pending and pending.where == "unschedulable" and happening in pending.helped_by:
                self._back_off(pending)

    def __len__(self) -> int:
        return len(self._pods)

    def __contains__(self, uid: str) -> bool:
        return uid in self._pods

    def statistics(self) -> dict[str, int]:
        """How many pods are in each place."""
        figures = {"active": 0, "backoff": 0, "unschedulable": 0, "popped": 0}
        for pending in self._pods.values():
            figures[pending.where] += 1
        return figures

    def _delay(self, tries: int) -> float:
        return min(BACKOFF_SECONDS_MIN * 2.0 ** min(tries - 1, 10), BACKOFF_SECONDS_MAX)

    def _activate(self, pending: Pending) -> None:
        pending.where = "active"
        pending.number = next(self._numbers)
        entry = (-pending.info.priority, pending.since, pending.number, pending.info.uid)
        heapq.heappush(self._active, entry)
        self._wake.set()

    def _back_off(self, pending: Pending) -> None:
        pending.where = "backoff"
        pending.number = next(self._numbers)
        heapq.heappush(self._backoff, (pending.ready_at, pending.number, pending.info.uid))
        self._wake.set()

    def _take_active(self) -> Pending | None:
        while self._active:
            *_, number, uid = heapq.heappop(self._active)
            pending = self._current(uid, number)
            if pending is not None:
                return pending
        return None

    def _take_backoff(self) -> Pending | None:
        """The first whose time has come, or the first who need not wait."""
        now = self._clock.monotonic()
        kept: list[tuple[float, int, str]] = []
        found: Pending | None = None
        while self._backoff and found is None:
            entry = heapq.heappop(self._backoff)
            pending = self._current(entry[2], entry[1])
            if pending is None:
                continue
            if pending.errors and pending.ready_at > now:
                kept.append(entry)
            else:
                found = pending
        for entry in kept:
            heapq.heappush(self._backoff, entry)
        return found

    def _current(self, uid: str, number: int) -> Pending | None:
        """Heaps are never searched: an entry of a pod that has moved on is stale and dropped here."""
        pending = self._pods.get(uid)
        return pending if pending is not None and pending.number == number else None

    async def _sleep(self) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(self._next_due()):
                await self._wake.wait()
        except TimeoutError:
            self._give_another_chance()

    def _next_due(self) -> float | None:
        now = self._clock.monotonic()
        if self._backoff:
            return max(self._backoff[0][0] - now, 0)
        if any(pending.where == "unschedulable" for pending in self._pods.values()):
            return UNSCHEDULABLE_SECONDS_MAX
        return None

    def _give_another_chance(self) -> None:
        now = self._clock.monotonic()
        for pending in self._pods.values():
            tried_at = pending.ready_at - self._delay(max(pending.tries, 1))
            if pending.where == "unschedulable" and now - tried_at >= UNSCHEDULABLE_SECONDS_MAX:
                self._back_off(pending)
