"""A pod gets a node once."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.api.resources import PODS
from wherry.testing.simulation.outcome import Violation
from wherry.testing.simulation.story import Story, about


def check(story: Story) -> Iterator[Violation]:
    for event in story.of(PODS):
        old, new = event.seen.old, event.seen.obj
        if old is None or old["metadata"]["uid"] != new["metadata"]["uid"]:
            continue
        had, has = old["spec"].get("nodeName"), new["spec"].get("nodeName")
        if had and had != has:
            text = f"{about(event.seen.key)} was on {had} and is on {has} at {event.seen.revision} ({event.who})"
            yield Violation("bound twice", text, (event.seen.key[2],))
