import asyncio
import time

from wherry.aio.clock import LoopClock, ManualClock, parse_rfc3339, rfc3339, rfc3339_micro
from wherry.aio.virtual import run_virtual


def test_an_hour_passes_at_once():
    async def main():
        clock = LoopClock(epoch=0)
        await clock.sleep(3600)
        return clock.time()

    before = time.monotonic()
    assert run_virtual(main()) == 3600
    assert time.monotonic() - before < 60


def test_timers_fire_in_order_of_their_time():
    async def main():
        order = []

        async def note(seconds):
            await asyncio.sleep(seconds)
            order.append(seconds)

        async with asyncio.TaskGroup() as group:
            for seconds in (30, 10, 20):
                group.create_task(note(seconds))
        return order

    assert run_virtual(main()) == [10, 20, 30]


def test_work_in_a_thread_is_waited_for_when_there_is_no_timer():
    async def main():
        return await asyncio.to_thread(lambda: 7)

    assert run_virtual(main()) == 7


def test_times_on_the_wire():
    clock = ManualClock(0)
    clock.advance(1.5)
    assert rfc3339(clock.time()) == "1970-01-01T00:00:01Z"
    assert rfc3339_micro(clock.time()) == "1970-01-01T00:00:01.500000Z"
    assert parse_rfc3339("1970-01-01T00:00:01.5Z") == 1.5
