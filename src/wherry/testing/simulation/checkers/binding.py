"""A pod gets a node once."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.api.resources import PODS
from wherry.testing.simulation.outcome import Violation
from wherry.testing.simulation.replay import Replay
from wherry.testing.simulation.story import Event, Story, about


class Binding:
    def __init__(self, story: Story) -> None:
        """Nothing is remembered."""

    def see(self, event: Event, before: Replay) -> Iterator[Violation]:
        old, new = event.seen.old, event.seen.obj
        if event.seen.key[0] != PODS or old is None or old["metadata"]["uid"] != new["metadata"]["uid"]:
            return
        had, has = old["spec"].get("nodeName"), new["spec"].get("nodeName")
        if had and had != has:
            text = f"{about(event.seen.key)} was on {had} and is on {has} at {event.seen.revision} ({event.who})"
            yield Violation("bound twice", text, (event.seen.key[2],))
