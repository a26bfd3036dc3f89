"""Work that is tried before it is begun: whoever must not be kept waiting lets it go on for a little while, and if that
is not enough does it all again somewhere else.

    with trial(UNITS): ...   # TooHeavy when what is done inside spends more than that

Nothing of it holds in another thread, where the same work has only its usual budget.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class TooHeavy(Exception):
    """No verdict: the trial was too short."""


class Trial:
    """What is left of one, in units of cost."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, units: int) -> None:
        self.left -= units
        if self.left < 0:
            raise TooHeavy


CURRENT: ContextVar[Trial | None] = ContextVar("trial", default=None)


@contextmanager
def trial(units: int) -> Iterator[None]:
    """May be inside another one, whose units it leaves alone."""
    token = CURRENT.set(Trial(units))
    try:
        yield
    finally:
        CURRENT.reset(token)


def spend(units: int) -> None:
    """Of the trial that is on, if any."""
    current = CURRENT.get()
    if current is not None:
        current.spend(units)
