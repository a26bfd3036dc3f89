"""Carries a decision to the API: the pod gets its node.

Decisions do not wait for it: the pod counts as placed meanwhile, and if this fails the scheduler is told.
"""

from __future__ import annotations

import asyncio
import logging
from enum import Enum

from wherry.api.errors import StatusError, is_not_found
from wherry.api.resources import PODS
from wherry.api.types import Obj
from wherry.reconcile.parts import Parts
from wherry.scheduler.pod_info import PodInfo

log = logging.getLogger(__name__)

BINDINGS_AT_ONCE = 128
"""Bindings on their way at the same time: they share the storage's group commits, and a lost server is noticed soon."""


class Bound(Enum):
    """What became of it: done; failed and worth another try; the pod is gone."""

    YES = "yes"
    FAILED = "failed"
    GONE = "gone"


class Binder:
    """Posts bindings side by side."""

    def __init__(self, parts: Parts) -> None:
        self._client = parts.client
        self._recorder = parts.recorder
        self._bindings = asyncio.Semaphore(BINDINGS_AT_ONCE)
        self.scheduled = 0
        """Pods bound since the start."""

    async def ready(self) -> None:
        """Until another binding may start."""
        await self._bindings.acquire()
        self._bindings.release()

    async def bind(self, pod: PodInfo, node: str) -> Bound:
        binding: Obj = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            async with self._bindings:
                await self._client.create(PODS, binding, pod.namespace, "binding", pod.name)
        except (StatusError, ConnectionError) as error:
            if is_not_found(error):
                return Bound.GONE
            log.warning("binding %s to %s failed: %s", pod.key, node, error)
            self._recorder.event(pod.pod, "Warning", "FailedScheduling", f"binding rejected: {error}")
            return Bound.FAILED
        self.scheduled += 1
        self._recorder.event(pod.pod, "Normal", "Scheduled", f"Successfully assigned {pod.key} to {node}")
        return Bound.YES
