"""Counted durations: how many fell below each bound. Observing costs one bisection; making text of it is `exposition.py`'s."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

from wherry.api.exposition import Sample, histogram


class Histogram:
    """`bounds`: inclusive upper bounds in seconds, rising. `counts` has one place more, for what lies above all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def samples(self, labels: Mapping[str, str]) -> list[Sample]:
        """Buckets, sum and count in Prometheus' form."""
        return histogram(labels, self.bounds, self.counts, round(self.total, 9))
