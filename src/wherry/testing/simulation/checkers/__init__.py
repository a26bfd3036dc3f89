"""What must be true of every story, whatever went wrong in it. Each checker sees what clients of the API can see, and says
what it found in words with which the story can be searched. No I/O, no time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from wherry.testing.simulation.checkers import acknowledged, lists, revisions
from wherry.testing.simulation.checkers.addresses import Addresses
from wherry.testing.simulation.checkers.amounts import Amounts
from wherry.testing.simulation.checkers.binding import Binding
from wherry.testing.simulation.checkers.disruptions import Disruptions
from wherry.testing.simulation.checkers.garbage import Garbage
from wherry.testing.simulation.checkers.quotas import Quotas
from wherry.testing.simulation.outcome import Violation
from wherry.testing.simulation.process import traceback_line
from wherry.testing.simulation.replay import Replay
from wherry.testing.simulation.story import Event, Story

WHOLE: tuple[Callable[[Story], Iterable[Violation]], ...] = (revisions.check, acknowledged.check, lists.check)
"""They look at the story as a whole."""


class Step(Protocol):
    """Looks at one event after the other."""

    def see(self, event: Event, before: Replay) -> Iterable[Violation]: ...


STEPS: tuple[Callable[[Story], Step], ...] = (Binding, Addresses, Amounts, Quotas, Garbage, Disruptions)


def check(story: Story) -> list[Violation]:
    """Of all checkers. One that cannot make anything of the story has found something too; the others go on."""
    found: list[Violation] = []
    for each in WHOLE:
        try:
            found += each(story)
        except Exception as error:  # noqa: BLE001  # whatever it is, the seed that found it is told
            found.append(Violation("checker", f"{each.__module__}: {traceback_line(error)}"))
    state, steps = Replay(story.first), [make(story) for make in STEPS]
    for event in story.events:
        for step in list(steps):
            try:
                found += [replace(one, at=event.seen.at) for one in step.see(event, state)]
            except Exception as error:  # noqa: BLE001  # as above
                steps.remove(step)
                text = f"{type(step).__name__}: {traceback_line(error)}"
                found.append(Violation("checker", text, (event.seen.key[2],), event.seen.at))
        state.apply(event)
    return found
