"""The state of the world as of one event of a story: what checkers that look at one event after the other compare it with."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api.resources import PODS
from wherry.api.types import GVR, Obj
from wherry.testing.simulation.observer import Key
from wherry.testing.simulation.story import Event

FINISHED = ("Succeeded", "Failed")


class Replay:
    """`apply` each event in order; before that, the state is the one before the event."""

    def __init__(self, first: Mapping[Key, Obj]) -> None:
        self._of: dict[GVR, dict[Key, Obj]] = {}
        self._by_uid: dict[str, Obj] = {}
        self._pods_of: dict[str, dict[Key, Obj]] = {}
        for key, obj in first.items():
            self._put(key, obj)

    def apply(self, event: Event) -> None:
        key, old = event.seen.key, self.get(event.seen.key)
        if old is not None:
            self._by_uid.pop(old["metadata"]["uid"], None)
            for owner in owners(old):
                self._pods_of.get(owner["uid"], {}).pop(key, None)
        if event.seen.type == "DELETED":
            self._of.get(key[0], {}).pop(key, None)
        else:
            self._put(key, event.seen.obj)

    def _put(self, key: Key, obj: Obj) -> None:
        self._of.setdefault(key[0], {})[key] = obj
        self._by_uid[obj["metadata"]["uid"]] = obj
        if key[0] == PODS:
            for owner in owners(obj):
                self._pods_of.setdefault(owner["uid"], {})[key] = obj

    def get(self, key: Key) -> Obj | None:
        return self._of.get(key[0], {}).get(key)

    def of(self, gvr: GVR, namespace: str) -> list[Obj]:
        return [obj for key, obj in self._of.get(gvr, {}).items() if key[1] == namespace]

    def by_uid(self, uid: str) -> Obj | None:
        return self._by_uid.get(uid)

    def pods_of(self, uid: str) -> list[Obj]:
        """Pods that name an owner of that uid."""
        return list(self._pods_of.get(uid, {}).values())


def owners(obj: Obj) -> list[Obj]:
    found: list[Obj] = obj["metadata"].get("ownerReferences") or []
    return found


def controller(obj: Obj) -> Obj | None:
    """The owner reference of whoever controls it."""
    return next((one for one in owners(obj) if one.get("controller")), None)


def is_active(pod: Obj) -> bool:
    """Neither ended nor ending."""
    return not pod["metadata"].get("deletionTimestamp") and (pod.get("status") or {}).get("phase") not in FINISHED


def is_ready(pod: Obj) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return is_active(pod) and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
