"""The newest state of everything that is watched, by resource."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api.types import GVR, Obj
from wherry.testing.simulation.observer import Key


class State:
    def __init__(self, objects: Mapping[Key, Obj]) -> None:
        self._of: dict[GVR, list[Obj]] = {}
        for key, obj in objects.items():
            self._of.setdefault(key[0], []).append(obj)

    def of(self, gvr: GVR) -> list[Obj]:
        return self._of.get(gvr, [])

    def resources(self) -> list[GVR]:
        """Those there is something of."""
        return list(self._of)

    def uids(self) -> set[str]:
        return {obj["metadata"]["uid"] for objects in self._of.values() for obj in objects}


def named(obj: Obj, kind: str) -> str:
    """`deployment shop/web`."""
    return f"{kind} {obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"
