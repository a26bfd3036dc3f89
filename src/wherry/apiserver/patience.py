"""Expressions of administrators, judged without keeping everybody else waiting.

Kubernetes lets the rules of one write use ten million units of cost: seconds. Here they are tried for a few milliseconds,
which is more than usual rules take, and if that was not enough judged anew in a thread, one such write at a time, so that
the event loop keeps at least half of the interpreter. The work must be good for doing twice and touch nothing but what it
was given; what belongs to the loop (the authorizer) is asked through `on_loop`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from wherry.aio.trial import TooHeavy, trial

T = TypeVar("T")

TRIAL_UNITS = 10_000
"""Three to fifteen milliseconds."""
ASKING_SECONDS = 10.0
"""A loop that does not answer for so long has ended."""


async def judged(work: Callable[[], T]) -> T:
    """What `work()` gives or raises."""
    try:
        with trial(TRIAL_UNITS):
            return work()
    except TooHeavy:
        pass
    loop = asyncio.get_running_loop()
    if getattr(loop, "time_is_made", False):
        return work()  # nobody waits while no time passes, and a thread would come back at a time of chance
    return await loop.run_in_executor(_thread(), work)


def on_loop(loop: asyncio.AbstractEventLoop, ask: Callable[[], T]) -> T:
    """`ask()`, called by the loop whichever thread we are in."""
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        answer: concurrent.futures.Future[T] = concurrent.futures.Future()

        def call() -> None:
            try:
                answer.set_result(ask())
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
                answer.set_exception(error)

        loop.call_soon_threadsafe(call)
        return answer.result(ASKING_SECONDS)
    assert here is loop, "a server has one loop"
    return ask()


@cache
def _thread() -> concurrent.futures.ThreadPoolExecutor:
    """Made for the first heavy write."""
    return concurrent.futures.ThreadPoolExecutor(1, "rules")
