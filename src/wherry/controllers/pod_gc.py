"""Removes pods nobody will ever finish: of nodes that are gone or out of service, terminating without ever having had a
node, and finished ones beyond a number.

A sweep, not a reaction: one key, looked at SWEEP_SECONDS after pods or nodes changed, however often they did, and again
while a node is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from wherry.aio.clock import rfc3339
from wherry.api.errors import StatusError, is_not_found
from wherry.api.resources import NODES, PODS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.reconcile.controller import Controller
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import condition, created_at, is_finished, is_terminating
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly

log = logging.getLogger(__name__)

SWEEP_SECONDS = 20.0
QUARANTINE_SECONDS = 40.0
"""How long a node must be missing before its pods count as lost: it may just be registering again."""
TERMINATED_MAX = 12500
"""kube-controller-manager's terminated-pod-gc-threshold."""

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""A person says with this taint that a node which is not ready will stop nothing any more."""
LOST = ("DeletionByPodGC", "PodGC: node no longer exists")
UNSTOPPED = ("DeletionByPodGC", "PodGC: node is out of service")

SWEEP = Request("", "all")


def build(parts: Parts, *, terminated_max: int = TERMINATED_MAX) -> Controller:
    """The controller, with one key."""
    queue: WorkQueue[Request] = WorkQueue("pod-gc", parts.clock)
    pods, nodes = parts.factory.informer(PODS), parts.factory.informer(NODES)
    reconciler = PodSweeper(parts, pods, nodes, terminated_max)

    def on_change(type: str, obj: Obj, old: Obj | None) -> None:
        queue.add_after(SWEEP, SWEEP_SECONDS)

    pods.add_handler(on_change)
    nodes.add_handler(on_change)
    queue.add(SWEEP)
    return Controller("pod-gc", reconciler, queue, workers=1, sources=(pods, nodes))


def beyond(pods: Iterable[Obj], limit: int) -> list[Obj]:
    """The oldest finished pods over the limit."""
    finished = sorted((pod for pod in pods if is_finished(pod)), key=created_at)
    return finished[: max(len(finished) - limit, 0)]


def never_scheduled(pods: Iterable[Obj]) -> list[Obj]:
    """Being deleted, but no node has to stop them first."""
    return [pod for pod in pods if is_terminating(pod) and not pod["spec"].get("nodeName")]


def out_of_service(node: Obj) -> bool:
    """Not ready, and given up by a person."""
    ready = condition(node, "Ready")
    taints = (node.get("spec") or {}).get("taints") or ()
    return (ready is None or ready["status"] != "True") and any(one["key"] == OUT_OF_SERVICE for one in taints)


class PodSweeper:
    def __init__(self, parts: Parts, pods: Informer, nodes: Informer, terminated_max: int) -> None:
        self._client = parts.client
        self._pods = pods
        self._nodes = nodes
        self._clock = parts.clock
        self._terminated_max = terminated_max
        self._missing_since: dict[str, float] = {}

    async def reconcile(self, request: Request) -> Result | None:
        pods = self._pods.list()
        for pod in [*beyond(pods, self._terminated_max), *never_scheduled(pods)]:
            await self._remove(pod)
        given_up = {node["metadata"]["name"] for node in self._nodes.list() if out_of_service(node)}
        for pod in pods:
            if is_terminating(pod) and pod["spec"].get("nodeName") in given_up:
                await self._remove(await self._failed(pod, UNSTOPPED))
        for pod in await self._orphaned(pods):
            await self._remove(await self._failed(pod, LOST))
        return Result(requeue_after=SWEEP_SECONDS) if self._missing_since else None

    async def _orphaned(self, pods: Sequence[Obj]) -> list[Obj]:
        now = self._clock.monotonic()
        named = {pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")}
        missing = {name for name in named if self._nodes.get(name) is None}
        self._missing_since = {name: self._missing_since.get(name, now) for name in missing}
        lost = {name for name, since in self._missing_since.items() if now - since >= QUARANTINE_SECONDS}
        lost = {name for name in sorted(lost) if await self._is_gone(name)}
        return [pod for pod in pods if pod["spec"].get("nodeName") in lost]

    async def _is_gone(self, node: str) -> bool:
        try:
            await self._client.get(NODES, node)
        except StatusError as error:
            return is_not_found(error)
        return False

    async def _failed(self, pod: Obj, why: tuple[str, str]) -> Obj:
        """Its controller must see it as failed, not just as vanished; `why` is (reason, message)."""
        if is_finished(pod):
            return pod
        status = {**pod.get("status", {}), "phase": "Failed"}
        kept = [one for one in status.get("conditions") or () if one["type"] != "DisruptionTarget"]
        disrupted = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": why[0],
            "message": why[1],
            "lastTransitionTime": rfc3339(self._clock.time()),
        }
        status["conditions"] = [*kept, disrupted]
        return await self._client.update(PODS, {**pod, "status": status}, subresource="status")

    async def _remove(self, pod: Obj) -> None:
        metadata = pod["metadata"]
        if await delete_exactly(self._client, PODS, pod, grace_seconds=0):
            log.info("removed pod %s/%s, which nothing will finish", metadata["namespace"], metadata["name"])
