"""Carries a decision to the API: claims that waited for the pod get their volumes, then the pod gets its node.

Decisions do not wait for it: the pod counts as placed meanwhile, and if this fails the scheduler is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from enum import Enum

from wherry.api.errors import StatusError, is_not_found
from wherry.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from wherry.api.types import Obj
from wherry.reconcile.parts import Parts
from wherry.reconcile.volume_matching import SELECTED_NODE, names, reserved
from wherry.reconcile.writes import change
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.volumes import Choice, Volumes

log = logging.getLogger(__name__)

BINDINGS_AT_ONCE = 128
"""Bindings on their way at the same time: they share the storage's group commits, and a lost server is noticed soon."""


VOLUMES_SECONDS_MAX = 600.0
"""kube-scheduler's bindTimeoutSeconds: so long may a provisioner take."""


class Bound(Enum):
    """What became of it: done; failed and worth another try; the pod is gone."""

    YES = "yes"
    FAILED = "failed"
    GONE = "gone"


class Binder:
    """Posts bindings side by side."""

    def __init__(self, parts: Parts, volumes: Volumes) -> None:
        self._volumes = volumes
        self._waiting: dict[str, asyncio.Event] = {}
        """uid of a pod -> set when one of its claims may be bound, or the pod is gone."""
        self._gone: set[str] = set()
        """Pods that went while their claims were being bound."""
        self._client = parts.client
        self._recorder = parts.recorder
        self._bindings = asyncio.Semaphore(BINDINGS_AT_ONCE)
        self.scheduled = 0
        """Pods bound since the start."""

    async def ready(self) -> None:
        """Until another binding may start."""
        await self._bindings.acquire()
        self._bindings.release()

    def claims_changed(self) -> None:
        for event in self._waiting.values():
            event.set()

    def gone(self, uid: str) -> None:
        """The pod needs no node any more."""
        if uid in self._waiting:
            self._gone.add(uid)
            self._waiting[uid].set()

    async def bind(self, pod: PodInfo, node: str, choices: Sequence[Choice] = ()) -> Bound:
        """`choices`: what has to be done about the pod's claims first."""
        if choices:
            try:
                why = await self._bind_volumes(pod, node, choices)
            except (StatusError, ConnectionError) as error:
                why = str(error)
            finally:
                self._volumes.done(choices)
            if pod.uid in self._gone:
                self._gone.discard(pod.uid)
                return Bound.GONE
            if why:
                text = f'running PreBind plugin "VolumeBinding": binding volumes: {why}'
                self._recorder.event(pod.pod, "Warning", "FailedScheduling", text, action="Scheduling")
                return Bound.FAILED
        return await self._bind_pod(pod, node)

    async def _bind_volumes(self, pod: PodInfo, node: str, choices: Sequence[Choice]) -> str:
        """Until all claims are bound; else why they are not."""
        event = self._waiting[pod.uid] = asyncio.Event()
        try:
            for one in choices:
                if not await self._ask_for(one, node):
                    return f'volume "{(one.volume or {})["metadata"]["name"]}" already bound to a different claim.'
            async with asyncio.timeout(VOLUMES_SECONDS_MAX):
                while pod.uid not in self._gone:
                    event.clear()
                    states = [self._volumes.is_bound(one.claim) for one in choices]
                    if None in states:
                        return "persistentvolumeclaim not found"
                    if all(states):
                        return ""
                    await event.wait()
        except TimeoutError:
            return "context deadline exceeded"
        finally:
            del self._waiting[pod.uid]
        return ""

    async def _ask_for(self, choice: Choice, node: str) -> bool:
        """Reserve the volume that was chosen, or have one made; whether that was possible."""
        claim = choice.claim
        if choice.volume is not None:
            kept = await change(
                self._client,
                PERSISTENT_VOLUMES,
                choice.volume,
                lambda volume: reserved(volume, claim) if volume["spec"].get("claimRef") is None else None,
            )
            return kept is not None and names(kept["spec"]["claimRef"], claim)
        metadata = claim["metadata"]
        patch = {"metadata": {"uid": metadata["uid"], "annotations": {SELECTED_NODE: node}}}
        await self._client.patch(PERSISTENT_VOLUME_CLAIMS, metadata["name"], patch, metadata["namespace"])
        return True

    async def _bind_pod(self, pod: PodInfo, node: str) -> Bound:
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
            text = f"binding rejected: {error}"
            self._recorder.event(pod.pod, "Warning", "FailedScheduling", text, action="Scheduling")
            return Bound.FAILED
        self.scheduled += 1
        text = f"Successfully assigned {pod.key} to {node}"
        self._recorder.event(pod.pod, "Normal", "Scheduled", text, action="Binding")
        return Bound.YES
