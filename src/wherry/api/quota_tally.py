"""What the objects of one resource take of a quota, kept from one look to the next. Pure.

Counting ten thousand pods takes a second; of two looks that follow one another nearly all pods are the same objects, and
only those that are not are counted again. Objects are told apart by identity, so that what was kept cannot be out of date.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wherry.api.quantity import Quantity
from wherry.api.quota_usage import ZERO, applies, usage
from wherry.api.types import Obj

_NOTHING: Mapping[str, Quantity] = {}


class QuotaTally:
    """For one quota's `spec` and one resource of one namespace."""

    def __init__(self, spec: Obj, group: str, resource: str) -> None:
        self.spec = spec
        self._group = group
        self._resource = resource
        self._hard = tuple(spec.get("hard") or ())
        self._known: dict[str, tuple[Obj, Mapping[str, Quantity]]] = {}
        """uid -> the object as it was counted, and what it takes."""
        self.sums: dict[str, Quantity] = {}
        """What all of them take of each key, as of the last `update`."""

    def update(self, objects: Sequence[Obj]) -> None:
        """`objects` are all there are now."""
        known = self._known
        for obj in objects:
            before = known.get(obj["metadata"]["uid"])
            if before is None or before[0] is not obj:
                self._put(obj)
        if len(objects) != len(known):
            present = {obj["metadata"]["uid"] for obj in objects}
            for uid in [uid for uid in known if uid not in present]:
                self._add(known.pop(uid)[1], -1)

    def of(self, obj: Obj) -> Mapping[str, Quantity]:
        """What an object takes, stored or not."""
        if not applies(self.spec, obj, self._resource):
            return _NOTHING
        return usage(obj, self._group, self._resource, self._hard)

    def known(self, uid: str) -> Mapping[str, Quantity]:
        """What the counted object of that uid takes."""
        found = self._known.get(uid)
        return found[1] if found is not None else _NOTHING

    def _put(self, obj: Obj) -> None:
        uid, takes = obj["metadata"]["uid"], self.of(obj)
        self._add(self.known(uid), -1)
        self._add(takes, 1)
        self._known[uid] = (obj, takes)

    def _add(self, takes: Mapping[str, Quantity], sign: int) -> None:
        for key, amount in takes.items():
            before = self.sums.get(key, ZERO)
            self.sums[key] = before + amount if sign > 0 else before - amount
