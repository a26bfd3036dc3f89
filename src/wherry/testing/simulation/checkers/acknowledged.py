"""No acknowledged write is lost, and none replaces what it has not read."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.testing.simulation import paths
from wherry.testing.simulation.observer import WATCHED
from wherry.testing.simulation.outcome import Violation
from wherry.testing.simulation.story import Story

WRITES = ("POST", "PUT", "PATCH")


def check(story: Story) -> Iterator[Violation]:
    """Every answer's resourceVersion was told by the watch; a PUT with one follows exactly that version."""
    versions = {(key, int(obj["metadata"]["resourceVersion"])): 0 for key, obj in story.first.items()}
    for key, events in story.versions.items():
        before = int(story.first[key]["metadata"]["resourceVersion"]) if key in story.first else 0
        for event in events:
            versions[key, event.seen.revision] = before
            before = event.seen.revision
    for call in story.calls:
        if call.method not in WRITES or call.code != 200 or not call.revision:
            continue
        found = paths.parse(call.path)
        if found is None or found[0] not in WATCHED:
            continue
        target = (found[0], found[1], found[2] or call.name)
        before = versions.get((target, call.revision), -1)
        if before < 0:
            yield Violation("acknowledged", f"{call}: no watch ever told of that", (target[2],))
        elif call.expected and before != call.expected and call.revision != call.expected:
            text = f"{call}: written over revision {before}, while its writer had read {call.expected}"
            yield Violation("lost update", text, (target[2],))
