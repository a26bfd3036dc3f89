from __future__ import annotations

from random import Random

from wherry.aio.backoff import Backoff


def test_delays_double_up_to_the_maximum_and_start_over() -> None:
    backoff = Backoff(Random(1), initial=0.1, factor=2, maximum=1.0, jitter=0)
    assert [backoff.next() for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    backoff.reset()
    assert backoff.next() == 0.1


def test_jitter_stretches_by_its_share_and_by_the_seed_alone() -> None:
    delays = [Backoff(Random(seed), initial=1, maximum=1, jitter=0.5).next() for seed in range(200)]
    assert all(1 <= delay <= 1.5 for delay in delays)
    assert max(delays) - min(delays) > 0.4
    assert delays == [Backoff(Random(seed), initial=1, maximum=1, jitter=0.5).next() for seed in range(200)]
