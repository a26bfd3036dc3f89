"""A group of tasks that crashes all at once, and says when one of them ends by itself."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from contextvars import Context
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class Process:
    """`failed(what)` is called when a task ends that should have run on."""

    def __init__(self, name: str, failed: Callable[[str], None]) -> None:
        self.name = name
        self._failed = failed
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self.dead = False

    def run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Until the crash."""
        self.spawn(work, name).add_done_callback(self._ended)

    def spawn(self, work: Coroutine[Any, Any, T], name: str = "", context: Context | None = None) -> asyncio.Task[T]:
        """May end when it likes."""
        task = asyncio.get_running_loop().create_task(work, name=name or None, context=context)
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    async def crash(self) -> None:
        """Nothing of it runs any more when this returns."""
        self.dead = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            task.exception()  # whoever waits for it has it; nobody else need hear of it

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self.dead:
            how = "was cancelled" if task.cancelled() else f"ended: {reason(task.exception())}"
            self._failed(f"{self.name}: {task.get_name()} {how}")


def traceback_line(error: BaseException) -> str:
    """`reason` with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return reason(error) + where


def reason(error: BaseException | None) -> str:
    """In one line, down to the first cause of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if error is not None else "without a reason"
