"""The writer thread: everything that queued up while one fsync ran goes into the next one together.

    submit() ──► queue ──► [thread] take all ──► commit(group) ──► done(group) back in the event loop

A group is bounded so that its answer is not late and its rows fit the window; the queue needs no bound of its own, since
each caller waits for its own write before the next.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

Job = TypeVar("Job")

GROUP_JOBS_MAX = 512


class GroupCommit(Generic[Job]):
    """`commit` runs in the thread and notes failures in the jobs, `done` runs in the loop of `start()`."""

    def __init__(
        self,
        commit: Callable[[Sequence[Job]], None],
        done: Callable[[Sequence[Job]], None],
    ) -> None:
        self._commit = commit
        self._done = done
        # None is the end. Written in C: a Condition costs several times as much per write.
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped = asyncio.Event()

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        # A daemon: a process that dies without close() must not hang, and the file needs no farewell.
        self._thread = threading.Thread(target=self._run, name="storage writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        assert not self._stopping, "submitted after stop"
        self._queue.put(job)

    async def stop(self) -> None:
        """Commit what was submitted, tell `done`, end the thread."""
        if self._thread is None:
            return
        self._stopping = True
        self._queue.put(None)
        await self._stopped.wait()
        self._thread.join()

    def _run(self) -> None:
        assert self._loop is not None
        try:
            while group := self._next_group():
                self._commit(group)
                self._loop.call_soon_threadsafe(self._done, group)
            self._loop.call_soon_threadsafe(self._stopped.set)
        except RuntimeError:
            if not self._loop.is_closed():  # else the loop ended without stop(): nobody is left to be told
                raise

    def _next_group(self) -> list[Job]:
        """What is queued, as soon as there is any; nothing once stopped and empty."""
        group: list[Job] = []
        job = self._queue.get()
        while job is not None:
            group.append(job)
            if len(group) == GROUP_JOBS_MAX:
                return group
            try:
                job = self._queue.get_nowait()
            except Empty:
                return group
        if group:
            self._queue.put(None)  # the end comes again, for the next call
        return group
