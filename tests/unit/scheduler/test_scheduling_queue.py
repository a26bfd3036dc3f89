"""Where pending pods wait and what moves them."""

from __future__ import annotations

import asyncio

import pytest

from wherry.aio.clock import LoopClock
from wherry.aio.virtual import run_virtual
from wherry.scheduler.framework import Happening
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.queue import SchedulingQueue


def info(name: str, priority: int = 0) -> PodInfo:
    metadata = {"name": name, "namespace": "d", "uid": name}
    return PodInfo.of({"metadata": metadata, "spec": {"containers": [], "priority": priority}})


def test_priority_then_arrival() -> None:
    async def main() -> None:
        queue = SchedulingQueue(LoopClock())
        for one in (info("a"), info("b", 10), info("c"), info("d", 10)):
            queue.add(one)
            await asyncio.sleep(1)
        assert [(await queue.pop()).info.name for _ in range(4)] == ["b", "d", "a", "c"]

    run_virtual(main())


def test_unschedulable_pods_wait_for_what_helps_them() -> None:
    async def main() -> None:
        queue = SchedulingQueue(LoopClock())
        queue.add(info("a"))
        queue.unschedulable(await queue.pop(), frozenset({Happening.NODE_CHANGED}))
        queue.happened(Happening.POD_GONE)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100):
                await queue.pop()
        queue.happened(Happening.NODE_CHANGED)
        before = asyncio.get_running_loop().time()
        assert (await queue.pop()).info.name == "a"
        assert asyncio.get_running_loop().time() == before

    run_virtual(main())


def test_errors_sit_out_their_backoff() -> None:
    async def main() -> None:
        queue, loop = SchedulingQueue(LoopClock()), asyncio.get_running_loop()
        queue.add(info("a"))
        times = []
        for _ in range(6):
            pending = await queue.pop()
            times.append(loop.time())
            queue.failed(pending)
        assert times == [0, 1, 3, 7, 15, 25]

    run_virtual(main())


def test_a_missed_happening_is_made_up_for_after_five_minutes() -> None:
    async def main() -> None:
        queue = SchedulingQueue(LoopClock())
        queue.add(info("a"))
        queue.unschedulable(await queue.pop(), frozenset())
        async with asyncio.timeout(700):
            await queue.pop()

    run_virtual(main())


def test_removed_pods_are_not_popped() -> None:
    async def main() -> None:
        queue = SchedulingQueue(LoopClock())
        queue.add(info("a"))
        queue.add(info("b"))
        queue.remove("a")
        assert (await queue.pop()).info.name == "b"
        assert queue.statistics() == {"active": 0, "backoff": 0, "unschedulable": 0, "popped": 1}

    run_virtual(main())
