"""No two Services have one address or node port, no two pods that run have one address."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.api.resources import PODS, SERVICES
from wherry.api.types import Obj
from wherry.testing.simulation.outcome import Violation
from wherry.testing.simulation.replay import Replay, is_active
from wherry.testing.simulation.story import Event, Story, about


class Addresses:
    def __init__(self, story: Story) -> None:
        self._holders: dict[str, str] = {}
        """Address -> uid of who has it."""

    def see(self, event: Event, before: Replay) -> Iterator[Violation]:
        seen, uid = event.seen, event.seen.obj["metadata"]["uid"]
        if seen.key[0] not in (PODS, SERVICES):
            return
        if seen.old is not None:
            for address in _addresses(seen.old, seen.key[0] == PODS):
                if self._holders.get(address) == seen.old["metadata"]["uid"]:
                    del self._holders[address]
        if seen.type == "DELETED":
            return
        for address in _addresses(seen.obj, seen.key[0] == PODS):
            holder = self._holders.setdefault(address, uid)
            if holder != uid:
                other = before.by_uid(holder)
                name = other["metadata"]["name"] if other is not None else holder
                text = f"{about(seen.key)} has {address}, and so has {name} ({event.call})"
                yield Violation("address given twice", text, (seen.key[2], name))


def _addresses(obj: Obj, is_pod: bool) -> list[str]:
    if is_pod:
        address = (obj.get("status") or {}).get("podIP")
        return [address] if address and is_active(obj) and not obj["spec"].get("hostNetwork") else []
    addresses = [one for one in obj["spec"].get("clusterIPs") or () if one != "None"]
    return addresses + [f"port {one['nodePort']}" for one in obj["spec"].get("ports") or () if one.get("nodePort")]
