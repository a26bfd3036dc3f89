"""Errors come back with back-off, terminal ones do not, requeue_after is kept, two keys run side by side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from wherry.aio.clock import LoopClock
from wherry.aio.virtual import run_virtual
from wherry.api.errors import StatusError
from wherry.reconcile.controller import Controller
from wherry.reconcile.reconciler import Request, Result, TerminalError
from wherry.reconcile.workqueue import WorkQueue

KEY = Request("shop", "cart")


class Recording:
    def __init__(self, behave: Callable[[int], Result | None]) -> None:
        self.behave = behave
        self.at: list[float] = []

    async def reconcile(self, request: Request) -> Result | None:
        self.at.append(asyncio.get_running_loop().time())
        return self.behave(len(self.at))


def run_for(seconds: float, reconciler: Recording) -> Controller:
    async def main() -> Controller:
        queue: WorkQueue[Request] = WorkQueue("test", LoopClock())
        controller = Controller("test", reconciler, queue)
        queue.add(KEY)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await controller.run()
        return controller

    return run_virtual(main())


def test_failures_are_retried_with_backoff(caplog: pytest.LogCaptureFixture) -> None:
    def behave(call: int) -> None:
        if call < 4:
            raise RuntimeError("no")

    recording = Recording(behave)
    with caplog.at_level(logging.ERROR):
        controller = run_for(10, recording)
    assert recording.at == pytest.approx([0, 0.005, 0.015, 0.035])
    assert controller.statistics()["errors"] == 3
    assert controller.statistics()["failing"] == 0
    assert "shop/cart failed" in caplog.text


@pytest.mark.parametrize(("reason", "is_told"), [("NamespaceTerminating", False), ("Other", True)])
def test_what_a_namespace_refuses_that_goes_is_nobodys_failure(
    reason: str, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def behave(call: int) -> None:
        if call < 12:
            raise StatusError(403, "Forbidden", "is being terminated", {"causes": [{"reason": reason}]})

    with caplog.at_level(logging.INFO):
        run_for(60, Recording(behave))
    assert ("is being terminated" in caplog.text) == is_told


def test_terminal_errors_are_not_retried() -> None:
    def behave(call: int) -> None:
        raise TerminalError("never")

    recording = Recording(behave)
    run_for(10_000, recording)
    assert recording.at == [0]


def test_requeue_after() -> None:
    recording = Recording(lambda call: Result(requeue_after=60) if call < 3 else None)
    run_for(1000, recording)
    assert recording.at == [0, 60, 120]


def test_nothing_runs_before_the_sources_have_synced() -> None:
    class Late:
        async def wait_synced(self) -> None:
            await asyncio.sleep(7)

    recording = Recording(lambda call: None)

    async def main() -> None:
        queue: WorkQueue[Request] = WorkQueue("test", LoopClock())
        queue.add(KEY)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(20):
                await Controller("test", recording, queue, sources=[Late()]).run()

    run_virtual(main())
    assert recording.at == [7]
