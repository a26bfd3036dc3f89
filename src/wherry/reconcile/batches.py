"""Do the same thing many times at once, carefully: 1, then 2, 4, 8 ... at a time, stopping at the first failed batch.

A pod that can never be created (a quota, a bad template) so costs one refused request, not five hundred; writes that
go well share the storage's group commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def slow_start(items: Sequence[T], act: Callable[[T], Awaitable[None]]) -> tuple[int, Exception | None]:
    """How many of `items` were acted on successfully, and the first failure; after it the rest is not tried."""
    done = 0
    at = 0
    size = 1
    while at < len(items):
        batch = items[at : at + size]
        failures = await all_of(batch, act)
        done += len(batch) - len(failures)
        if failures:
            return done, failures[0]
        at += len(batch)
        size *= 2
    return done, None


async def all_of(items: Sequence[T], act: Callable[[T], Awaitable[None]]) -> list[Exception]:
    """Act on all `items` at the same time; the failures, in the items' order."""
    if len(items) == 1:
        try:
            await act(items[0])
        except Exception as error:  # noqa: BLE001 - handed to the caller
            return [error]
        return []
    outcomes = await asyncio.gather(*(act(item) for item in items), return_exceptions=True)
    failures: list[Exception] = []
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            failures.append(outcome)
        elif isinstance(outcome, BaseException):
            raise outcome
    return failures
