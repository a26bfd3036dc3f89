"""What must be true of every story, whatever went wrong in it. Each checker is pure, sees what clients of the API can see,
and says what it found in words with which the story can be searched."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from wherry.testing.simulation.checkers import acknowledged, binding, revisions
from wherry.testing.simulation.outcome import Violation
from wherry.testing.simulation.story import Story

Check = Callable[[Story], Iterable[Violation]]
CHECKS: tuple[Check, ...] = (
    revisions.check,
    acknowledged.check,
    binding.check,
)


def check(story: Story) -> list[Violation]:
    """Of all checkers, in the order of `CHECKS`."""
    return [violation for each in CHECKS for violation in each(story)]
