"""Runs a scenario and gives it up when it takes too much real time: a loop without end is a failure to be told, too.

In the main thread of a process that uses no other alarm: that of the command, not of a test.
"""

from __future__ import annotations

import signal
from types import FrameType

from wherry.testing.simulation.outcome import Outcome, Violation
from wherry.testing.simulation.process import traceback_line
from wherry.testing.simulation.scenario import Scenario
from wherry.testing.simulation.simulation import run

SECONDS_MAX = 180.0
"""Of real time. One takes half a second on a machine that does nothing else."""


class Endless(KeyboardInterrupt):
    """Raised wherever it has come to; the only kind that event loops and tasks let through."""


def run_limited(scenario: Scenario, seconds: float = SECONDS_MAX) -> Outcome:
    """As `run`; the violation "endless" says where it was after `seconds`."""
    before = signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return run(scenario)
    except Endless as error:
        text = f"no end after {seconds:g} s of real time: {traceback_line(error)}"
        return Outcome([Violation("endless", text)])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _give_up(number: int, frame: FrameType | None) -> None:
    raise Endless("too slow")
