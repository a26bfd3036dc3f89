"""A control plane on a thread of its own: start, calls into it, the passing of its time, stop.

Is: the only bridge between a test's thread and the plane's loop. Is not: verbs; `verbs.py` says what is called. Always true
in virtual time: between two calls nothing is left to do and time stands still, so that a test's calls and what they cause
come in the same order every time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, TypeVar

from wherry.aio.clock import Clock, LoopClock, RealClock
from wherry.cluster.options import Options
from wherry.testing.plane import Plane
from wherry.testing.steered import SteeredLoop

T = TypeVar("T")
POLL_SECONDS = 0.01
"""Of real time, where time is real: how often it is looked whether something was written."""
PATIENCE_SECONDS = 10.0
"""Of real time: what a program outside may take to start, connect and act. Waiting in vain takes as long."""
LINGER_SECONDS = 0.02
STOP_SECONDS = 10.0
"""Of real time; a thread that has not ended by then is left to the process's end."""


class ControlPlaneFailed(Exception):
    """The control plane ended by itself; the cause is a bug of ours, or the machine's."""


class Engine:
    """`start` returns once the plane answers. Every other method may be called from any thread."""

    def __init__(self, options: Options, seed: int, virtual: bool, epoch: float) -> None:
        self.virtual = virtual
        self.clock: Clock = LoopClock(epoch) if virtual else RealClock()
        self.epoch = epoch
        self.loop: asyncio.AbstractEventLoop = (
            SteeredLoop(self._held, self._exchanged) if virtual else asyncio.SelectorEventLoop()
        )
        self._make: Callable[[], Plane] = lambda: Plane(options, self.clock, seed)
        self._plane: Plane | None = None
        self._woken = 0
        self._started: Future[None] = Future()
        self._failure: ControlPlaneFailed | None = None
        self._pending: set[Future[Any]] = {self._started}
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="wherry control plane", daemon=True)

    @property
    def plane(self) -> Plane:
        assert self._plane is not None, "started"
        return self._plane

    # -- life

    def start(self) -> None:
        self._thread.start()
        try:
            self._started.result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._thread.is_alive():
            try:
                self.loop.call_soon_threadsafe(self._stop.set)
            except RuntimeError:  # it has just ended
                pass
            self._thread.join(STOP_SECONDS)

    def _work(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                runner.run(self._main())
        except BaseException as error:  # noqa: BLE001  # whoever waits for us is told
            self._failure = ControlPlaneFailed(f"the control plane ended: {error!r}")
            self._failure.__cause__ = error
        self._failure = self._failure or ControlPlaneFailed("the control plane was stopped")
        for each in list(self._pending):
            if not each.done():
                each.set_exception(self._failure)

    async def _main(self) -> None:
        with ExitStack() as stack:
            self._open(stack)
            self._plane = self._make()
            async with self._plane.running():
                stack.close()
                if isinstance(self.loop, SteeredLoop):
                    await asyncio.wrap_future(self.loop.idle())
                self._started.set_result(None)
                await self._stop.wait()
                self._open(stack)

    def _open(self, stack: ExitStack) -> None:
        if isinstance(self.loop, SteeredLoop):
            self.loop.open_call()
            stack.callback(self.loop.close_call)

    def _held(self) -> bool:
        return self._plane is not None and self._plane.held

    def _exchanged(self) -> int:
        return self._woken + (self._plane.exchanged if self._plane is not None else 0)

    # -- calls

    def call(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run it on the plane's loop; in virtual time the answer comes when everything it caused at once is done too."""
        outcome: Future[T] = Future()

        async def run() -> T:
            with ExitStack() as stack:
                self._open(stack)
                return await work

        def begin() -> None:
            self.loop.create_task(run()).add_done_callback(finish)

        def finish(task: asyncio.Task[T]) -> None:
            if not isinstance(self.loop, SteeredLoop):
                _settle(task, outcome)
                return
            self.loop.idle().add_done_callback(lambda _: _settle(task, outcome))

        outcome.add_done_callback(lambda _: work.close())  # it may never have begun
        return self._submit(begin, outcome)

    def share(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run it on the plane's loop without time passing for it: what waits for others, such as a watch."""
        outcome: Future[T] = Future()
        outcome.add_done_callback(lambda _: work.close())
        return self._submit(
            lambda: self.loop.create_task(work).add_done_callback(lambda task: _settle(task, outcome)), outcome
        )

    def _submit(self, begin: Callable[[], None], outcome: Future[T]) -> Future[T]:
        self._pending.add(outcome)
        outcome.add_done_callback(self._pending.discard)
        try:
            self.loop.call_soon_threadsafe(begin)
        except RuntimeError:  # the loop is closed, and whoever closed it has seen to what was pending before
            if not outcome.done():
                outcome.set_exception(self._failure or ControlPlaneFailed("the control plane has ended"))
        return outcome

    # -- time

    def now(self) -> float:
        """Seconds of the plane's wall clock."""
        return self.epoch + self.loop.time() if self.virtual else self.clock.time()

    def pass_time(self, until: float, stop_at_writes: bool) -> Future[None]:
        """Up to a moment of the wall clock; or only until something is written, as far as that is sooner."""
        if not isinstance(self.loop, SteeredLoop):
            return self.call(self._wait(until, stop_at_writes))
        loop, outcome = self.loop, Future[None]()
        seen = self.plane.storage.revision

        def begin() -> None:
            stop = (lambda: self.plane.storage.revision != seen) if stop_at_writes else None
            passed = loop.proceed(until - self.epoch, stop)
            # It is done inside the selector, which has to be woken for what comes next.
            passed.add_done_callback(lambda _: loop.call_soon_threadsafe(stand))

        def stand() -> None:
            loop.create_task(self.plane.catch_up()).add_done_callback(lambda task: _settle(task, outcome))

        return self._submit(begin, outcome)

    async def _wait(self, until: float, stop_at_writes: bool) -> None:
        seen = self.plane.storage.revision
        while (left := until - self.clock.time()) > 0:
            if stop_at_writes and self.plane.storage.revision != seen:
                return
            await self.clock.sleep(min(left, POLL_SECONDS) if stop_at_writes else left)

    def sleep(self, seconds: float) -> Future[None]:
        """For a thread that lives in the plane's time; once awake it gets a moment to act, as programs outside do."""
        return self.share(self._sleep(seconds))

    async def _sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        self._woken += 1

    @property
    def patience(self) -> float:
        """Of whoever waits for what a program outside does."""
        return PATIENCE_SECONDS if self.virtual and self._plane is not None and self._plane.listens else 0.0

    def linger(self) -> Future[None]:
        """Done after a little real time."""
        outcome: Future[None] = Future()
        threading.Timer(LINGER_SECONDS, outcome.set_result, [None]).start()
        return outcome

    def flow(self, on: bool) -> None:
        """Let time pass as real time does, for a program that lives in it."""
        if isinstance(self.loop, SteeredLoop):
            self.loop.call_soon_threadsafe(self.loop.flow, on)


def _settle(task: asyncio.Task[T], outcome: Future[T]) -> None:
    if outcome.done():
        return
    if task.cancelled():
        outcome.set_exception(ControlPlaneFailed("the control plane was stopped meanwhile"))
    elif (error := task.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())
