"""Tells of a failure so that somebody can find its cause: the seed, what is left of the scenario, what happened."""

from __future__ import annotations

from collections.abc import Callable

from wherry.testing.simulation.call import Call
from wherry.testing.simulation.generate import generate
from wherry.testing.simulation.limit import run_limited
from wherry.testing.simulation.outcome import Outcome
from wherry.testing.simulation.scenario import Scenario
from wherry.testing.simulation.shrink import shrink as smaller

Say = Callable[[str], object]
VIOLATIONS_MAX = 8
LINES_MAX = 40


def report(seed: int, say: Say, *, shrink: bool) -> int:
    """Run one seed; 0 if it passed."""
    scenario = generate(seed)
    outcome = run_limited(scenario)
    if not outcome.violations:
        say(f"seed {seed} passed: {len(outcome.calls)} requests, {outcome.seconds:.0f} virtual seconds\n")
        return 0
    if shrink:
        rules = outcome.rules
        scenario = smaller(scenario, lambda one: bool(run_limited(one).rules & rules))
        outcome = run_limited(scenario)
    say(text(seed, scenario, outcome))
    return 1


def text(seed: int, scenario: Scenario, outcome: Outcome) -> str:
    """What a person reads."""
    lines = [f"seed {seed} FAILED"]
    lines += [f"  {each}" for each in outcome.violations[:VIOLATIONS_MAX]]
    if len(outcome.violations) > VIOLATIONS_MAX:
        lines.append(f"  and {len(outcome.violations) - VIOLATIONS_MAX} more")
    lines.append(f"scenario: {scenario.nodes} nodes, alone: {', '.join(scenario.alone) or 'nobody but the scheduler'}")
    lines += [f"  {line}" for line in scenario.lines()]
    lines.append("requests:")
    lines += [f"  {line}" for line in transcript(outcome)]
    lines.append(f"again: python -m wherry.testing.simulation --seed {seed}")
    return "\n".join(lines) + "\n"


def transcript(outcome: Outcome) -> list[str]:
    """The writes until the first violation that have to do with it; with nothing named, the last ones."""
    first = min(outcome.violations, key=lambda one: one.at)
    writes = [
        call
        for call in outcome.calls
        if call.method != "GET" and call.at <= first.at and "/events" not in call.path and "/leases" not in call.path
    ]
    telling = [call for call in writes if any(_names(call, word) for word in first.about)] if first.about else writes
    return [str(call) for call in telling[-LINES_MAX:]]


def _names(call: Call, word: str) -> bool:
    """Whether it was about that object, or one made for it."""
    return any(part == word or part.startswith(f"{word}-") for part in (*call.path.split("/"), call.name))
