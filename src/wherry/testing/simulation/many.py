"""Many seeds, in several processes, with the speed they go at."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context

from wherry.aio.clock import RealClock
from wherry.testing.simulation.generate import generate
from wherry.testing.simulation.report import report
from wherry.testing.simulation.simulation import run

Say = Callable[[str], object]
FAILURES_ENOUGH = 5
PROGRESS_SECONDS = 10.0


def run_many(first: int, count: int, workers: int, say: Say, *, keep: bool, shrink: bool) -> int:
    """0 when every seed passed. Failures are told as they come, the smallest form of each at the end."""
    clock = RealClock()
    started = told = clock.monotonic()
    failed: list[int] = []
    seeds = iter(range(first, first + count))
    done = 0
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=quiet) as pool:
        waiting: dict[Future[list[str]], int] = {}
        while True:
            while len(waiting) < 2 * workers and (keep or len(failed) < FAILURES_ENOUGH):
                seed = next(seeds, None)
                if seed is None:
                    break
                waiting[pool.submit(passes, seed)] = seed
            if not waiting:
                break
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                seed = waiting.pop(future)
                done += 1
                if violations := future.result():
                    failed.append(seed)
                    say(f"seed {seed} failed: {violations[0]}\n")
            if clock.monotonic() - told > PROGRESS_SECONDS:
                told = clock.monotonic()
                say(f"{done} seeds, {done / (told - started):.1f} seeds/s, {len(failed)} failed\n")
    seconds = clock.monotonic() - started
    say(f"{done} seeds in {seconds:.1f} s, {done / seconds:.1f} seeds/s, {len(failed)} failed\n")
    for seed in failed[:FAILURES_ENOUGH]:
        report(seed, say, shrink=shrink)
    return 1 if failed else 0


def quiet() -> None:
    """In each process: warnings are what faults are about."""
    logging.getLogger("wherry").setLevel(logging.ERROR)
    logging.getLogger("wherry").propagate = False


def passes(seed: int) -> list[str]:
    """What went wrong."""
    return [str(each) for each in run(generate(seed)).violations]
