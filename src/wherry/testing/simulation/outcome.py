"""What came of a simulation."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from math import inf

from wherry.testing.simulation.call import Call
from wherry.testing.simulation.observer import Seen


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken. `rule` names it, in the same words every time; `about` are names to look for, `at` the
    second in which it was seen."""

    rule: str
    text: str
    about: tuple[str, ...] = ()
    at: float = inf

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


@dataclass(slots=True)
class Outcome:
    violations: list[Violation] = field(default_factory=list)
    events: list[Seen] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    seconds: float = 0.0
    """Of virtual time."""
    struck: Counter[str] = field(default_factory=Counter)
    """What went wrong -> how often it met somebody."""

    @property
    def rules(self) -> frozenset[str]:
        return frozenset(each.rule for each in self.violations)

    def trace(self) -> str:
        """Of everything that was asked, answered and told: the same for the same seed."""
        digest = hashlib.sha256()
        for call in self.calls:
            digest.update(f"{call}{call.uid}\n".encode())
        for event in self.events:
            digest.update(f"{event.revision} {event.at:.6f} {event.type} {event.key}\n".encode())
        return digest.hexdigest()
