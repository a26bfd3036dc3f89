"""client-go's promises, one test each."""

from __future__ import annotations

import asyncio

import pytest

from wherry.aio.clock import LoopClock
from wherry.aio.virtual import run_virtual
from wherry.reconcile.workqueue import ShutDown, WorkQueue


def queue() -> WorkQueue[str]:
    return WorkQueue("test", LoopClock())


def test_keys_leave_in_order_and_once() -> None:
    async def main() -> None:
        q = queue()
        for key in ("a", "b", "a", "c", "b"):
            q.add(key)
        assert [await q.get() for _ in range(3)] == ["a", "b", "c"]
        assert len(q) == 0

    run_virtual(main())


def test_a_key_is_never_worked_on_twice_at_once() -> None:
    async def main() -> None:
        q = queue()
        q.add("a")
        assert await q.get() == "a"
        q.add("a")
        q.add("a")
        assert len(q) == 0
        q.done("a")
        assert len(q) == 1
        assert await q.get() == "a"
        q.done("a")
        assert q.idle

    run_virtual(main())


def test_the_earliest_delay_counts() -> None:
    async def main() -> None:
        q, loop = queue(), asyncio.get_running_loop()
        q.add_after("a", 60)
        q.add_after("a", 5)
        q.add_after("a", 90)
        await q.get()
        assert loop.time() == 5
        q.done("a")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1000):
                await q.get()

    run_virtual(main())


def test_backoff_doubles_per_key_until_forgotten() -> None:
    async def main() -> None:
        q = queue()
        assert [q.add_rate_limited("a") for _ in range(4)] == [0.005, 0.01, 0.02, 0.04]
        assert q.add_rate_limited("b") == 0.005
        q.forget("a")
        assert q.failures("a") == 0
        assert q.add_rate_limited("a") == 0.005
        for _ in range(60):
            last = q.add_rate_limited("a")
        assert last == 1000
        q.shut_down()

    run_virtual(main())


def test_workers_wait_and_shut_down_lets_them_go() -> None:
    async def main() -> None:
        q = queue()
        taken: list[str] = []

        async def worker() -> None:
            while True:
                try:
                    key = await q.get()
                except ShutDown:
                    return
                taken.append(key)
                q.done(key)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(worker())
            await asyncio.sleep(1)
            q.add("a")
            q.add("b")
            await asyncio.sleep(1)
            q.shut_down()
            q.add("late")
        assert taken == ["a", "b"]

    run_virtual(main())


def test_a_cancelled_waiter_does_not_swallow_a_wake_up() -> None:
    async def main() -> None:
        q = queue()
        first = asyncio.create_task(q.get())
        second = asyncio.create_task(q.get())
        await asyncio.sleep(0)
        q.add("a")
        first.cancel()
        assert await second == "a"
        with pytest.raises(asyncio.CancelledError):
            await first

    run_virtual(main())


def test_statistics() -> None:
    async def main() -> None:
        q = queue()
        q.add("a")
        q.add("c")
        q.add_after("b", 10)
        await asyncio.sleep(3)
        await q.get()
        await asyncio.sleep(2)
        await q.get()
        await asyncio.sleep(4)
        figures = q.statistics()
        assert (figures["processing"], figures["delayed"]) == (2, 1)
        assert q.working_seconds() == [6, 4]
        assert q.waited.total == 3 + 5
        q.done("a")
        assert (q.worked.total, sum(q.worked.counts)) == (6, 1)
        assert q.working_seconds() == [4]
        q.shut_down()

    run_virtual(main())
