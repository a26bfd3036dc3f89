"""What PodDisruptionBudgets allow at this moment: their status, less what we have taken and they do not say yet.

Between the choice of a victim and the budget controller's next word a second pod could choose under the same budget. So a
choice counts against every budget that covers it until the controller has spoken after the victim began to go, or for
TAKEN_SECONDS. Bounded by the victims of so long a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

from wherry.aio.clock import Clock
from wherry.api.labels import Selector
from wherry.api.types import Obj
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.preemption import Budget

TAKEN_SECONDS = 5.0
"""By then the controller has counted, or the victim could not be deleted."""


class Listed(Protocol):
    """The informer of budgets."""

    def list(self) -> list[Obj]: ...


class _Taken(Struct):
    info: PodInfo
    until: float
    going: bool = False


class Budgets:
    """Asked when a pod looks for victims, told of every choice and of what became of it."""

    def __init__(self, informer: Listed, clock: Clock) -> None:
        self._informer = informer
        self._clock = clock
        self._taken: dict[str, _Taken] = {}

    def now(self) -> list[Budget]:
        """Every budget with what it allows."""
        self._forget_old()
        found: list[Budget] = []
        for obj in self._informer.list():
            status = obj.get("status") or {}
            budget = Budget(
                obj["metadata"]["namespace"],
                Selector.from_object(obj["spec"].get("selector")),
                status.get("disruptionsAllowed", 0),
                frozenset(status.get("disruptedPods") or ()),
            )
            taken = sum(budget.covers(one.info) for one in self._taken.values())
            found.append(Budget(budget.namespace, budget.selector, budget.allowed - taken, budget.announced))
        return found

    def take(self, victims: Iterable[PodInfo]) -> None:
        until = self._clock.monotonic() + TAKEN_SECONDS
        for one in victims:
            self._taken[one.uid] = _Taken(one, until)

    def doomed(self) -> frozenset[str]:
        """uids of victims that were chosen and have not been seen going."""
        self._forget_old()
        return frozenset(uid for uid, one in self._taken.items() if not one.going)

    def spare(self, uid: str) -> None:
        """It could not be deleted."""
        self._taken.pop(uid, None)

    def going(self, uid: str) -> None:
        """The pod has been seen terminating, or gone."""
        if uid in self._taken:
            self._taken[uid].going = True

    def spoken(self, budget: Obj) -> None:
        """The controller has written a budget's status: it knows of those that were going."""
        if not self._taken:
            return
        covering = Budget(budget["metadata"]["namespace"], Selector.from_object(budget["spec"].get("selector")), 0)
        for uid in [uid for uid, one in self._taken.items() if one.going and covering.covers(one.info)]:
            del self._taken[uid]

    def _forget_old(self) -> None:
        now = self._clock.monotonic()
        for uid in [uid for uid, one in self._taken.items() if one.until <= now]:
            del self._taken[uid]
