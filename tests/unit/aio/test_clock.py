from __future__ import annotations

import asyncio

import pytest

from wherry.aio.clock import LoopClock, ManualClock, parse_rfc3339, rfc3339, rfc3339_micro
from wherry.aio.virtual import run_virtual


def test_times_on_the_wire() -> None:
    assert rfc3339(1_700_000_000.999) == "2023-11-14T22:13:20Z"
    assert rfc3339_micro(1_700_000_000.25) == "2023-11-14T22:13:20.250000Z"
    for text in ("2023-11-14T22:13:20.25Z", "2023-11-14T23:13:20.25+01:00"):
        assert parse_rfc3339(text) == 1_700_000_000.25
    for text in ("2023-11-14T22:13:20", "yesterday"):
        with pytest.raises(ValueError):
            parse_rfc3339(text)


def test_the_loops_clock_follows_virtual_time() -> None:
    async def main() -> None:
        clock = LoopClock(epoch=100)
        await asyncio.gather(clock.sleep(3600), clock.sleep(7200), clock.sleep(-1))
        assert (clock.monotonic(), clock.time()) == (7200, 7300)

    run_virtual(main())


def test_a_manual_clock_stands_still() -> None:
    clock = ManualClock(5)
    asyncio.run(clock.sleep(2))
    clock.advance(1)
    assert (clock.time(), clock.monotonic()) == (8, 8)


def test_timers_are_due_after_a_virtual_century():
    """Beyond 2^24 seconds a float of seconds cannot tell nanoseconds, with which asyncio compares."""

    async def main():
        clock = LoopClock(epoch=0)
        await clock.sleep(2**24 + 0.1)
        for _ in range(100):
            await clock.sleep(0.3)
        await clock.sleep(100 * 365 * 86400 + 1 / 3)
        for _ in range(100):
            await clock.sleep(0.1)
            await clock.sleep(1e-9)
        deadline = clock.monotonic() + 7.7
        while (left := deadline - clock.monotonic()) > 0:
            await clock.sleep(left)
        return clock.time()

    assert run_virtual(main()) == pytest.approx(2**24 + 30.1 + 100 * 365 * 86400 + 1 / 3 + 10 + 7.7, abs=0.01)
