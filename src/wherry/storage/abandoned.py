"""Writes whose callers did not wait for them: what was handed to the disk is written all the same.

Who is cancelled while his write is on its way must not act as if it had failed: the error carries its outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_OUTCOME = "outcome_of_write"


def mark(error: asyncio.CancelledError, outcome: asyncio.Future[None]) -> None:
    """`outcome` is done once the write is durable, or has failed."""
    setattr(error, _OUTCOME, outcome)


def when_known(error: BaseException, then: Callable[[bool], None]) -> bool:
    """Call `then(stored)` as soon as it is known whether the write that was under way is stored, and answer True. False
    when none was: then nothing is stored, and nothing is called."""
    outcome: asyncio.Future[None] | None = getattr(error, _OUTCOME, None)
    if outcome is None:
        return False
    outcome.add_done_callback(lambda done: then(not done.cancelled() and done.exception() is None))
    return True
