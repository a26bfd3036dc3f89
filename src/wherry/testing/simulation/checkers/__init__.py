"""What must be true of every story, whatever went wrong in it. Each checker sees what clients of the API can see, and says
what it found in words with which the story can be searched. No I/O, no time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from wherry.testing.simulation.checkers import acknowledged, lists, revisions
from wherry.testing.simulation.checkers.addresses import Addresses
from wherry.testing.simulation.checkers.amounts import Amounts
from wherry.testing.simulation.checkers.binding import Binding
from wherry.testing.simulation.checkers.disruptions import Disruptions
from wherry.testing.simulation.checkers.garbage import Garbage
from wherry.testing.simulation.checkers.quotas import Quotas
from wherry.testing.simulation.outcome import Violation
from wherry.testing.simulation.replay import Replay
from wherry.testing.simulation.story import Event, Story

WHOLE: tuple[Callable[[Story], Iterable[Violation]], ...] = (revisions.check, acknowledged.check, lists.check)
"""They look at the story as a whole."""


class Step(Protocol):
    """Looks at one event after the other."""

    def see(self, event: Event, before: Replay) -> Iterable[Violation]: ...


STEPS: tuple[Callable[[Story], Step], ...] = (Binding, Addresses, Amounts, Quotas, Garbage, Disruptions)


def check(story: Story) -> list[Violation]:
    """Of all checkers."""
    found = [violation for each in WHOLE for violation in each(story)]
    state, steps = Replay(story.first), [make(story) for make in STEPS]
    for event in story.events:
        for step in steps:
            found += step.see(event, state)
        state.apply(event)
    return found
