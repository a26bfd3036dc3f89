"""Workers that take keys from a queue and hand them to a reconciler.

Not a scheduler of anything else: informers, event recorders and the transport are run by whoever built them.
Workers start once every informer the controller reads from has synced, so that "not there" means not there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from wherry.api.errors import StatusError, is_conflict, is_not_found, namespace_is_ending
from wherry.reconcile.reconciler import Reconciler, Request, TerminalError
from wherry.reconcile.workqueue import ShutDown, WorkQueue

log = logging.getLogger(__name__)

QUIET_SECONDS = 0.1
"""An informer that lags catches up within the first few back-offs; who still conflicts after that should be heard of."""


class Synced(Protocol):
    """What a controller waits for before it works; informers are that."""

    async def wait_synced(self) -> None: ...


class Controller:
    """Runs `workers` reconciles at the same time, never two of one key."""

    def __init__(
        self,
        name: str,
        reconciler: Reconciler,
        queue: WorkQueue[Request],
        *,
        workers: int = 5,  # kube-controller-manager's usual concurrent syncs
        sources: Sequence[Synced] = (),
    ) -> None:
        self.name = name
        self.reconciler = reconciler
        self.queue = queue
        self._workers = workers
        self._sources = tuple(sources)
        self._reconciles = 0
        self._errors = 0

    async def run(self) -> None:
        """Work until cancelled."""
        for source in self._sources:
            await source.wait_synced()
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(self._workers):
                    tasks.create_task(self._work(), name=f"{self.name}-{number}")
        finally:
            self.queue.shut_down()

    def statistics(self) -> dict[str, float]:
        """The queue's figures, reconciles and failed reconciles since the start."""
        return {**self.queue.statistics(), "reconciles": self._reconciles, "errors": self._errors}

    async def _work(self) -> None:
        while True:
            try:
                request = await self.queue.get()
            except ShutDown:
                return
            try:
                await self._reconcile(request)
            finally:
                self.queue.done(request)

    async def _reconcile(self, request: Request) -> None:
        self._reconciles += 1
        try:
            result = await self.reconciler.reconcile(request)
        except TerminalError as error:
            self._errors += 1
            self.queue.forget(request)
            log.warning("%s: %s: %s; not retried until it changes", self.name, request, error)
        except Exception as error:  # noqa: BLE001 - one object's failure must not end the controller
            self._errors += 1
            self._retry(request, error)
        else:
            if result is not None and result.retry:
                self.queue.add_rate_limited(request)
                return
            self.queue.forget(request)
            if result is not None and result.requeue_after is not None:
                self.queue.add_after(request, result.requeue_after)

    def _retry(self, request: Request, error: Exception) -> None:
        delay = self.queue.add_rate_limited(request)
        # Somebody else wrote first, or deleted it, or its namespace; the news is on its way to us. Nothing is wrong.
        overtaken = (is_conflict(error) or is_not_found(error)) and delay < QUIET_SECONDS
        if overtaken or namespace_is_ending(error):
            log.debug("%s: %s: %s; again in %.3f s", self.name, request, error, delay)
        elif isinstance(error, (StatusError, ConnectionError)):
            log.warning("%s: %s: %s; again in %.3f s", self.name, request, error, delay)
        else:
            log.error("%s: %s failed; again in %.3f s", self.name, request, delay, exc_info=error)
