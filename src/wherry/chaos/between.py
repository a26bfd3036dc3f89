"""What faults do to packets between two sets of pods: lost, held for a while, or let through. Pure, but for `Random`.

Is: the decision about one packet. Is not: where packets are met (`network/detour.py`), nor who the pods are (`ends.py`).
Always true: whether the n-th packet of one direction of a fault is lost depends on its seed and n alone, not on jitter and
not on what comes the other way.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from wherry.chaos.faults import BadFault, Fault

DELAY_SECONDS_MAX = 60.0
"""Beyond it every client has given up, and what is held would only fill memory."""
KNOWN_MAX = 100_000
"""Pairs of addresses whose faults are remembered: 300 pods, each with each."""

Pair = tuple[str, str]
"""Source and target, addresses."""


def check(fault: Fault) -> None:
    """Raises BadFault for what cannot be done to packets."""
    delay, jitter, loss = (float(fault.what.get(key, 0.0)) for key in ("delay", "jitter", "loss"))
    if not 0 <= delay <= DELAY_SECONDS_MAX:
        raise BadFault(f"a delay of {delay:g}s: it can be {DELAY_SECONDS_MAX:g}s at most")
    if not 0 <= jitter <= delay:
        raise BadFault(f"a jitter of {jitter:g}s: it can be as long as the delay at most, which is {delay:g}s")
    if not 0 <= loss <= 1:
        raise BadFault(f"a loss of {loss:g}: it must be at least 0 and at most 1")
    if not delay and not loss:
        raise BadFault("neither a delay nor a loss: say one of them, or both")


@dataclass(slots=True)
class Line:
    """One direction of a fault, with its chances."""

    sources: frozenset[str]
    targets: frozenset[str]
    delay: float
    jitter: float
    loss: float
    losing: random.Random = field(repr=False)
    trembling: random.Random = field(repr=False)

    def joins(self, pair: Pair) -> bool:
        return pair[0] in self.sources and pair[1] in self.targets

    def hold(self) -> float | None:
        """Seconds that the packet it is asked about is held; None: it is lost."""
        if self.loss and (self.loss >= 1 or self.losing.random() < self.loss):
            return None
        if self.jitter:
            return self.delay + self.trembling.uniform(-self.jitter, self.jitter)
        return self.delay


class Between:
    """All faults that hold now, as one question."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, bool], Line] = {}
        self._known: dict[Pair, tuple[Line, ...]] = {}

    def set(self, faults: Iterable[Fault]) -> bool:
        """From now on these hold; those that held before go on where their seeds are. Whether any pair is joined otherwise."""
        before = [(line.sources, line.targets) for line in self._lines.values()]
        lines: dict[tuple[str, bool], Line] = {}
        for fault in filter(_can_be_done, faults):
            for back in (False, True) if fault.what.get("both") else (False,):
                old = self._lines.get((fault.name, back))
                lines[fault.name, back] = _line(fault, back, old)
        self._lines = lines
        self._known.clear()
        return before != [(line.sources, line.targets) for line in lines.values()]

    def lines(self) -> Iterator[Line]:
        """Those that join anybody."""
        return (line for line in self._lines.values() if line.sources and line.targets)

    def targets(self) -> frozenset[str]:
        return frozenset[str]().union(*(line.targets for line in self.lines()))

    def of(self, pair: Pair) -> tuple[Line, ...]:
        """The lines that a packet from the one to the other meets."""
        found = self._known.get(pair)
        if found is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            found = self._known[pair] = tuple(line for line in self._lines.values() if line.joins(pair))
        return found


def hold(lines: Iterable[Line]) -> float | None:
    """Seconds that one packet which meets these lines is held in all; None: it is lost."""
    seconds = 0.0
    for line in lines:
        more = line.hold()
        if more is None:
            return None
        seconds += more
    return seconds


def _line(fault: Fault, back: bool, old: Line | None) -> Line:
    sources, targets = (frozenset(fault.ends.get(end, ())) for end in ("from", "to"))
    if back:
        sources, targets = targets, sources
    what = {key: float(fault.what.get(key, 0.0)) for key in ("delay", "jitter", "loss")}
    if old is not None:
        return Line(sources, targets, **what, losing=old.losing, trembling=old.trembling)
    seed: int | str = f"{fault.seed} back" if back else fault.seed
    return Line(sources, targets, **what, losing=random.Random(seed), trembling=random.Random(f"{seed} jitter"))


def _can_be_done(fault: Fault) -> bool:
    """False for one that somebody else has written."""
    try:
        check(fault)
    except (ValueError, TypeError):
        return False
    return True
