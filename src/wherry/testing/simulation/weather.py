"""The faults that are in the air at this moment, for whoever has to suffer them."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from wherry.api.errors import StatusError
from wherry.testing.simulation.scenario import Fault


@dataclass(slots=True)
class Active:
    """A fault while it lasts, with chance of its own."""

    fault: Fault
    rng: random.Random

    def strikes(self) -> bool:
        return self.rng.random() < self.fault.amount


class Weather:
    """`""` is everybody's."""

    def __init__(self) -> None:
        self._on: dict[str, list[Active]] = {}
        self.skew = 0.0
        """By how much the wall clock is wrong."""
        self.struck: Counter[str] = Counter()
        """How often each fault did what it says: one that finds nobody shows nothing."""

    def begin(self, fault: Fault) -> Active:
        active = Active(fault, random.Random(fault.seed))
        self._on.setdefault(fault.target, []).append(active)
        return active

    def end(self, active: Active) -> None:
        self._on[active.fault.target].remove(active)
        if not self._on[active.fault.target]:
            del self._on[active.fault.target]

    def over(self, member: str) -> list[Active]:
        """What `member` suffers now."""
        if not self._on:
            return []
        return [*self._on.get(member, ()), *self._on.get("", ())]


def refusal(active: Active, method: str, path: str) -> StatusError:
    """One of the answers a server in trouble gives; 409 only where a conflict can be."""
    codes = [429, 500] if method in ("GET", "POST", "DELETE") else [429, 500, 409]
    code = active.rng.choice(codes)
    if code == 409:
        return StatusError(409, "Conflict", f"Operation cannot be fulfilled on {path}: the object has been modified")
    if code == 429:
        return StatusError(
            429, "TooManyRequests", "Too many requests, please try again later.", None, {"Retry-After": "1"}
        )
    return StatusError(500, "InternalError", "Internal error occurred: injected")
