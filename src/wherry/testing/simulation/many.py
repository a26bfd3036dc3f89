"""Many seeds, in several processes, with the speed they go at."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TypeAlias

from wherry.aio.clock import RealClock
from wherry.testing.simulation.generate import generate
from wherry.testing.simulation.limit import run_limited
from wherry.testing.simulation.report import report

Say = Callable[[str], object]
Found: TypeAlias = tuple[list[str], Counter[str]]
FAILURES_ENOUGH = 5
PROGRESS_SECONDS = 10.0


@dataclass(slots=True)
class Tally:
    """What came of those that are done."""

    done: int = 0
    failed: list[int] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    broken: bool = False
    """A process has ended, and nobody knows which seed ended it."""

    def take(self, seed: int, future: Future[Found], say: Say) -> None:
        try:
            violations, struck = future.result()
        except BrokenProcessPool as error:
            violations, struck, self.broken = [f"its process, or the one beside it, ended: {error}"], Counter(), True
        self.done += 1
        self.struck += struck
        if violations:
            self.failed.append(seed)
            say(f"seed {seed} failed: {violations[0]}\n")


def run_many(first: int, count: int, workers: int, say: Say, *, keep: bool, shrink: bool) -> int:
    """0 when every seed passed. Failures are told as they come, the smallest form of each at the end."""
    clock, tally = RealClock(), Tally()
    started = told = clock.monotonic()
    seeds = iter(range(first, first + count))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=quiet) as pool:
        waiting: dict[Future[Found], int] = {}
        while True:
            while len(waiting) < 2 * workers and not tally.broken and (keep or len(tally.failed) < FAILURES_ENOUGH):
                seed = next(seeds, None)
                if seed is None:
                    break
                waiting[pool.submit(passes, seed)] = seed
            if not waiting:
                break
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                tally.take(waiting.pop(future), future, say)
            if clock.monotonic() - told > PROGRESS_SECONDS:
                told = clock.monotonic()
                say(f"{tally.done} seeds, {tally.done / (told - started):.1f} seeds/s, {len(tally.failed)} failed\n")
    seconds = clock.monotonic() - started
    say("what went wrong, and how often it met somebody:\n")
    for what, often in sorted(tally.struck.items()):
        say(f"{often:9}  {what}\n")
    say(f"{tally.done} seeds in {seconds:.1f} s, {tally.done / seconds:.1f} seeds/s, {len(tally.failed)} failed\n")
    for seed in tally.failed[: 0 if tally.broken else FAILURES_ENOUGH]:
        report(seed, say, shrink=shrink)
    return 1 if tally.failed else 0


def quiet() -> None:
    """In each process: warnings are what faults are about."""
    logging.getLogger("wherry").setLevel(logging.ERROR)
    logging.getLogger("wherry").propagate = False


def passes(seed: int) -> Found:
    """What went wrong with us, and what on purpose."""
    outcome = run_limited(generate(seed))
    return [str(each) for each in outcome.violations], outcome.struck
