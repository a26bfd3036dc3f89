"""Completion indexes of a Job as text: `1,3-5,7`, ascending, each once.

Source: the documented form of `succeededIndexes`, `completedIndexes` and `failedIndexes`, and the words Kubernetes refuses
others with.
"""

from __future__ import annotations

import re

from wherry.api.integers import capped

_NUMBER = re.compile(r"[+-]?[0-9]+")


def count(text: str, completions: int) -> int:
    """How many indexes; raises ValueError with what is wrong."""
    total = 0
    last: int | None = None
    for interval in text.split(",") if text else ():
        first, end = _interval(interval, completions)
        if last is not None and first <= last:
            raise ValueError(f"non-increasing order, previous: {last}, current: {first}")
        total += end - first + 1
        last = end
    return total


def _interval(text: str, completions: int) -> tuple[int, int]:
    parts = text.split("-")
    if len(parts) > 2:
        raise ValueError(f'the fragment "{text}" violates the requirement that an index interval can have at most two parts '
                         "separated by '-'")  # fmt: skip
    first = _index(parts[0])
    if first >= completions:
        raise ValueError(f'too large index: "{parts[0]}"')
    if len(parts) == 1:
        return first, first
    end = _index(parts[1])
    if end >= completions:
        raise ValueError(f'too large index: "{parts[1]}"')
    if first >= end:
        raise ValueError(f"non-increasing order, previous: {first}, current: {end}")
    return first, end


def _index(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    return capped(text)
