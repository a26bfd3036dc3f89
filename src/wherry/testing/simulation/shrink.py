"""Makes a failing scenario small: leaves out operations and faults as long as it still breaks the same promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from wherry.testing.simulation.scenario import Fault, Operation, Scenario

Part = Operation | Fault
RUNS_MAX = 150
"""A run that fails takes seconds at worst, and somebody waits."""


def shrink(scenario: Scenario, fails: Callable[[Scenario], bool], runs: int = RUNS_MAX) -> Scenario:
    """The smallest that was found with at most `runs` runs; no single part of it can be left out, if they sufficed.

    Delta debugging (Zeller and Hildebrandt, 2002): first halves, then smaller and smaller pieces.
    """
    parts: list[Part] = [*scenario.operations, *scenario.faults]
    size = max(len(parts) // 2, 1)
    while parts:
        index, smaller = 0, False
        while index < len(parts) and runs > 0:
            kept = parts[:index] + parts[index + size :]
            runs -= 1
            if fails(with_parts(scenario, kept)):
                parts, smaller = kept, True
            else:
                index += size
        if runs <= 0 or (size == 1 and not smaller):
            break
        if not smaller or size > len(parts):
            size = max(size // 2, 1)
    small = with_parts(scenario, parts)
    fewer = replace(small, alone=tuple(name for name in small.alone if any(f.target == name for f in small.faults)))
    return fewer if fewer != small and runs > 0 and fails(fewer) else small


def with_parts(scenario: Scenario, parts: list[Part]) -> Scenario:
    return replace(
        scenario,
        operations=tuple(one for one in parts if isinstance(one, Operation)),
        faults=tuple(one for one in parts if isinstance(one, Fault)),
    )
