"""Revisions only grow: nobody reads what is older than what anybody had been told before he asked."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.testing.simulation.outcome import Violation
from wherry.testing.simulation.story import Story


def check(story: Story) -> Iterator[Violation]:
    """A list is at least as new as the newest answer before it was asked for."""
    for call in story.calls:
        if call.listed is not None and call.code == 200 and call.revision < call.newest:
            yield Violation("revisions", f"{call}: {call.newest} had been answered before")
