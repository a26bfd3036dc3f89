"""Nobody collects what still has an owner."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.api.resources import NAMESPACES
from wherry.testing.simulation.outcome import Violation
from wherry.testing.simulation.replay import Replay, owners
from wherry.testing.simulation.story import Event, Story, about

COLLECTOR = "garbage-collector"


class Garbage:
    """Judges what the garbage collector deletes."""

    def __init__(self, story: Story) -> None:
        """Nothing is remembered."""

    def see(self, event: Event, before: Replay) -> Iterator[Violation]:
        seen, old = event.seen, event.seen.old
        begins = seen.type == "DELETED" or "deletionTimestamp" in seen.obj["metadata"]
        if old is None or not begins or "deletionTimestamp" in old["metadata"] or event.call is None:
            return
        if event.call.method != "DELETE" or not owners(old):
            return
        if not event.call.worker.startswith(COLLECTOR):
            return
        namespace = before.get((NAMESPACES, "", seen.key[1]))
        if namespace is not None and namespace["metadata"].get("deletionTimestamp"):
            return
        for reference in owners(old):
            owner = before.by_uid(reference["uid"])
            if owner is not None and "foregroundDeletion" not in (owner["metadata"].get("finalizers") or ()):
                text = (
                    f"{about(seen.key)} was collected while its owner {reference['kind']} {reference['name']} was there"
                )
                yield Violation("early garbage collection", text, (seen.key[2], reference["name"]))
