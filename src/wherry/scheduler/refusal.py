"""Writes what came of a pod that no node takes: why, where room is being made, and the end of those who make it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from wherry.aio.clock import rfc3339
from wherry.api.errors import StatusError
from wherry.api.resources import PODS
from wherry.api.types import Obj
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import condition
from wherry.reconcile.writes import delete_exactly
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.preemption import Preemption

log = logging.getLogger(__name__)


class Refusals:
    """A write that fails is made up for at the pod's next try."""

    def __init__(self, parts: Parts) -> None:
        self._client = parts.client
        self._recorder = parts.recorder
        self._clock = parts.clock

    async def write(
        self, pod: PodInfo, message: str, nominated: str, gain: Preemption, displaced: Sequence[PodInfo]
    ) -> list[PodInfo]:
        """Event and condition of the pod, deletion of the victims, `displaced` pods lose their nomination. Answers the
        victims that could not be deleted."""
        self._recorder.event(pod.pod, "Warning", "FailedScheduling", message, action="Scheduling")
        left = list(gain.victims)
        try:
            await self._write_status(pod.pod, message, nominated)
            for victim in gain.victims:
                await self._evict(victim, pod, gain.node)
                left.remove(victim)
            for one in displaced:
                await self._patch_status(one.pod, {"nominatedNodeName": None})
        except (StatusError, ConnectionError) as error:
            log.info("making room for %s: %s", pod.key, error)
        return left

    async def _write_status(self, pod: Obj, message: str, nominated: str) -> None:
        before = condition(pod, "PodScheduled")
        status: Obj = {}
        if before is None or before.get("message") != message or before["status"] != "False":
            stamp = rfc3339(self._clock.time())
            same = before is not None and before["status"] == "False"
            status["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "observedGeneration": pod["metadata"].get("generation", 1),
                    "lastProbeTime": None,
                    "lastTransitionTime": before["lastTransitionTime"] if before is not None and same else stamp,
                    "reason": "Unschedulable",
                    "message": message,
                }
            ]
        if nominated != (pod.get("status", {}).get("nominatedNodeName") or ""):
            status["nominatedNodeName"] = nominated or None
        if status:
            await self._patch_status(pod, status)

    async def _evict(self, victim: PodInfo, pod: PodInfo, node: str) -> None:
        """First it is told why, then it is deleted with its own grace."""
        scheduler = pod.pod["spec"].get("schedulerName") or "default-scheduler"
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "observedGeneration": victim.pod["metadata"].get("generation", 1),
            "lastProbeTime": None,
            "lastTransitionTime": rfc3339(self._clock.time()),
            "reason": "PreemptionByScheduler",
            "message": f"{scheduler}: preempting to accommodate a higher priority pod",
        }
        await self._patch_status(victim.pod, {"conditions": [target]})
        if await delete_exactly(self._client, PODS, victim.pod):
            text = f"Preempted by pod {pod.uid} on node {node}"
            self._recorder.event(victim.pod, "Normal", "Preempted", text, action="Preempting", related=pod.pod)

    async def _patch_status(self, pod: Obj, status: Obj) -> None:
        """Of this very pod; nothing is to be said of one that is gone."""
        metadata = pod["metadata"]
        patch = {"metadata": {"uid": metadata["uid"]}, "status": status}
        try:
            await self._client.patch(
                PODS, metadata["name"], patch, metadata["namespace"], type="strategic", subresource="status"
            )
        except StatusError as error:
            if error.code not in (404, 409):
                raise
