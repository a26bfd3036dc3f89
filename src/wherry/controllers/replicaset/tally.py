"""How many pods of one owner are in which condition, kept up to date pod by pod. Pure: no await, no clock.

A look at a ReplicaSet so costs the same for ten pods as for ten thousand; were all pods read after every change, starting
many would take the square of their number. Always true: a pod that no longer fits the selector is not counted, it strays.
"""

from __future__ import annotations

from msgspec import Struct

from wherry.aio.clock import parse_rfc3339
from wherry.api.labels import Selector
from wherry.api.types import Obj
from wherry.reconcile.pods import condition, is_finished, is_terminating


class Counts(Struct, frozen=True):
    """What a status says. `labelled`, `ready` and `available` are among the active; `next_change` is in how many seconds
    another pod becomes available by itself."""

    active: int = 0
    terminating: int = 0
    labelled: int = 0
    ready: int = 0
    available: int = 0
    next_change: float | None = None


class Facts(Struct, frozen=True):
    """What of an owner decides how its pods count. Another one means another tally."""

    selector: Selector
    labels: dict[str, str]
    """Of its template."""
    min_ready_seconds: int

    @classmethod
    def of(cls, owner: Obj) -> Facts:
        spec = owner["spec"]
        labels = (spec["template"].get("metadata") or {}).get("labels") or {}
        return cls(Selector.from_object(spec.get("selector")), labels, spec.get("minReadySeconds") or 0)


_ACTIVE, _TERMINATING, _LABELLED, _READY, _AVAILABLE = range(5)


class Tally:
    """`put` the newest version of each pod the owner controls, `remove` those it does not control any more."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.strays: set[str] = set()
        """uids of pods that have to be released."""
        self._of: dict[str, tuple[int, ...]] = {}
        """uid -> the numbers the pod counts in."""
        self._numbers = [0] * 5
        self._ripening: dict[str, float | None] = {}
        """uid of a ready pod -> since when, as long as it is not known to be available."""

    def put(self, pod: Obj) -> None:
        uid = pod["metadata"]["uid"]
        self.remove(uid)
        labels = pod["metadata"].get("labels") or {}
        if not self.facts.selector.matches(labels):
            self.strays.add(uid)
            return
        if is_finished(pod):
            return
        if is_terminating(pod):
            self._count(uid, (_TERMINATING,))
            return
        numbers: tuple[int, ...] = (_ACTIVE,)
        if all(labels.get(key) == value for key, value in self.facts.labels.items()):
            numbers += (_LABELLED,)
        ready = condition(pod, "Ready")
        if ready is not None and ready["status"] == "True":
            numbers += (_READY,)
            if self.facts.min_ready_seconds <= 0:
                numbers += (_AVAILABLE,)
            else:
                since = ready.get("lastTransitionTime")
                self._ripening[uid] = parse_rfc3339(since) if since else None
        self._count(uid, numbers)

    def remove(self, uid: str) -> None:
        """No harm if it is not there."""
        self.strays.discard(uid)
        self._ripening.pop(uid, None)
        for number in self._of.pop(uid, ()):
            self._numbers[number] -= 1

    def counts(self, now: float) -> Counts:
        """`now`: Unix seconds. Only pods that become ripe by waiting are looked at."""
        next_change: float | None = None
        for uid, since in list(self._ripening.items()):
            wait = self.facts.min_ready_seconds
            left = float(wait) if since is None else since + wait - now
            if left <= 0:
                del self._ripening[uid]
                self._of[uid] += (_AVAILABLE,)
                self._numbers[_AVAILABLE] += 1
            else:
                next_change = left if next_change is None else min(next_change, left)
        active, terminating, labelled, ready, available = self._numbers
        return Counts(active, terminating, labelled, ready, available, next_change)

    def _count(self, uid: str, numbers: tuple[int, ...]) -> None:
        self._of[uid] = numbers
        for number in numbers:
            self._numbers[number] += 1
