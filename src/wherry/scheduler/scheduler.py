"""Takes pods without a node one at a time: decide, assume, bind; or say why not.

Decisions are made one after the other on a snapshot that includes every decision before; bindings travel to the API side
by side. Nothing is polled: a pod is tried when it appears, and again when something happens that could help it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from wherry.aio.clock import rfc3339
from wherry.api.errors import StatusError, is_not_found
from wherry.api.resources import NAMESPACES, NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import condition, is_finished
from wherry.reconcile.writes import delete_exactly
from wherry.scheduler import preemption
from wherry.scheduler.decision import Fit, Unfit, decide
from wherry.scheduler.framework import Filter, Happening, Score
from wherry.scheduler.plugins import (
    node_affinity,
    node_basics,
    node_resources,
    pod_topology_spread,
    replica_spread,
    taint_toleration,
)
from wherry.scheduler.plugins.inter_pod_affinity import inter_pod_affinity
from wherry.scheduler.plugins.volume_binding import volume_binding
from wherry.scheduler.queue import Pending, SchedulingQueue
from wherry.scheduler.ranking import Rankings
from wherry.scheduler.snapshot import PodInfo, Snapshot

log = logging.getLogger(__name__)

BINDINGS_AT_ONCE = 128
"""Bindings on their way at the same time: they share the storage's group commits, and a lost server is noticed soon."""


class Scheduler:
    """The scheduler of every pod whose `spec.schedulerName` is `name`."""

    def __init__(self, parts: Parts, *, name: str = "default-scheduler") -> None:
        self.name = name
        self._client = parts.client
        self._recorder = parts.recorder
        self._clock = parts.clock
        self._rng = parts.rng
        self._snapshot = Snapshot()
        self._queue = SchedulingQueue(parts.clock)
        self._bindings = asyncio.Semaphore(BINDINGS_AT_ONCE)
        self._start = 0
        self._scheduled = 0
        self._decisions = 0
        nodes, pods = parts.factory.informer(NODES), parts.factory.informer(PODS)
        claims, volumes = parts.factory.informer(PERSISTENT_VOLUME_CLAIMS), parts.factory.informer(PERSISTENT_VOLUMES)
        namespaces = parts.factory.informer(NAMESPACES)
        self._sources: tuple[Informer, ...] = (nodes, pods, claims, volumes, namespaces)
        affinity_filter, affinity_score = inter_pod_affinity(namespaces)
        self._filters: Sequence[Filter] = (
            node_basics.NODE_UNSCHEDULABLE,
            node_basics.NODE_NAME,
            taint_toleration.FILTER,
            node_affinity.FILTER,
            node_basics.NODE_PORTS,
            node_resources.FILTER,
            volume_binding(claims, volumes),
            pod_topology_spread.FILTER,
            affinity_filter,
        )
        self._scores: Sequence[Score] = (
            taint_toleration.SCORE,
            node_affinity.SCORE,
            node_resources.LEAST_ALLOCATED,
            node_resources.BALANCED,
            replica_spread.SCORE,
            pod_topology_spread.SCORE,
            affinity_score,
        )
        self._rankings = Rankings(self._snapshot, self._filters, self._scores, parts.rng)
        nodes.add_handler(self._on_node)
        pods.add_handler(self._on_pod)
        claims.add_handler(lambda type, obj, old: self._queue.happened(Happening.CLAIM_CHANGED))

    async def run(self) -> None:
        """Schedule until cancelled."""
        for source in self._sources:
            await source.wait_synced()
        async with asyncio.TaskGroup() as tasks:
            while True:
                pending = await self._queue.pop()
                try:
                    self._try(pending, tasks)
                except Exception:
                    # One pod we cannot judge must not keep the others waiting.
                    log.exception("deciding about %s failed", pending.info.key)
                    self._queue.failed(pending)
                # Let bindings start and events in even when many pods wait.
                await self._bindings.acquire()
                self._bindings.release()
                await asyncio.sleep(0)

    def statistics(self) -> dict[str, int]:
        """Pods in each part of the queue, decisions and bound pods since the start."""
        return {**self._queue.statistics(), "decisions": self._decisions, "scheduled": self._scheduled}

    # -- what happens

    def _on_node(self, type: str, node: Obj, old: Obj | None) -> None:
        if type == "deleted":
            self._snapshot.remove_node(node["metadata"]["name"])
            return
        self._snapshot.put_node(node)
        if old is None or _offers(node) != _offers(old):
            self._queue.happened(Happening.NODE_CHANGED)

    def _on_pod(self, type: str, pod: Obj, old: Obj | None) -> None:
        uid = pod["metadata"]["uid"]
        if old is not None and old["metadata"]["uid"] != uid:
            self._gone(old)
            old = None
        if type == "deleted" or is_finished(pod):
            self._gone(pod)
            return
        if pod["spec"].get("nodeName"):
            known = old is not None and old["spec"].get("nodeName")
            terminating = "deletionTimestamp" in pod["metadata"]
            if not known or terminating or _asks(pod) != _asks(old):
                self._snapshot.put_pod(pod)
                self._queue.remove(uid)
                self._queue.happened(Happening.POD_PLACED)
            return
        self._waiting(pod, old)

    def _gone(self, pod: Obj) -> None:
        uid = pod["metadata"]["uid"]
        self._queue.remove(uid)
        self._snapshot.remove_pod(uid)
        if pod["spec"].get("nodeName"):
            self._queue.happened(Happening.POD_GONE)

    def _waiting(self, pod: Obj, old: Obj | None) -> None:
        """A pod without a node: ours, not held back by gates, not on its way out, and new or changed."""
        uid, spec = pod["metadata"]["uid"], pod["spec"]
        ours = spec.get("schedulerName", "default-scheduler") == self.name
        if not ours or spec.get("schedulingGates") or "deletionTimestamp" in pod["metadata"]:
            self._queue.remove(uid)
            return
        if self._snapshot.is_assumed(uid):
            return
        if old is None or uid not in self._queue or _asks(pod) != _asks(old):
            self._queue.add(PodInfo.of(pod))
        else:
            self._queue.refresh(uid, pod)

    # -- what is done about it

    def _try(self, pending: Pending, tasks: asyncio.TaskGroup) -> None:
        """Decide about one pod, without awaiting; what must be written is written by tasks."""
        pod = pending.info
        self._decisions += 1
        known = self._rankings.choose(pod)
        if known is not None:
            outcome: Fit | Unfit = Fit(known, 0)
        else:
            outcome = decide(pod, self._snapshot, self._filters, self._scores, self._rng, start=self._start)
        if isinstance(outcome, Fit):
            self._start = (self._start + outcome.examined) % max(len(self._snapshot.nodes), 1)
            self._snapshot.assume(pod, outcome.node)
            tasks.create_task(self._bind(pending, outcome.node), name=f"bind {pod.key}")
            return
        self._queue.unschedulable(pending, outcome.helped_by)
        tasks.create_task(self._refuse(pod, outcome), name=f"refuse {pod.key}")

    async def _bind(self, pending: Pending, node: str) -> None:
        pod = pending.info
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
            self._snapshot.forget(pod.uid)
            if is_not_found(error):
                self._queue.remove(pod.uid)
                return
            log.warning("binding %s to %s failed: %s", pod.key, node, error)
            self._recorder.event(pod.pod, "Warning", "FailedScheduling", f"binding rejected: {error}")
            self._queue.failed(pending)
            return
        self._scheduled += 1
        self._queue.remove(pod.uid)
        text = f"Successfully assigned {pod.key} to {node}"
        self._recorder.event(pod.pod, "Normal", "Scheduled", text)

    async def _refuse(self, pod: PodInfo, unfit: Unfit) -> None:
        """Make room if that is possible, and write into the pod and an event why it waits."""
        gain = preemption.plan(pod, unfit, self._snapshot, self._filters)
        message = unfit.message(gain.explanation)
        self._recorder.event(pod.pod, "Warning", "FailedScheduling", message)
        try:
            await self._write_condition(pod.pod, message, gain.node)
            for victim in gain.victims:
                await self._evict(victim, pod)
        except (StatusError, ConnectionError) as error:
            # The next try writes it; a pod that is gone needs nothing.
            log.info("status of %s not written: %s", pod.key, error)

    async def _write_condition(self, pod: Obj, message: str, nominated: str) -> None:
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
        if nominated:
            status["nominatedNodeName"] = nominated
        if status:
            metadata = pod["metadata"]
            patch = {"metadata": {"uid": metadata["uid"]}, "status": status}
            await self._client.patch(
                PODS, metadata["name"], patch, metadata["namespace"], type="strategic", subresource="status"
            )

    async def _evict(self, victim: PodInfo, pod: PodInfo) -> None:
        if await delete_exactly(self._client, PODS, victim.pod):
            node = victim.pod["spec"]["nodeName"]
            text = f"Preempted by pod {pod.uid} on node {node}"
            self._recorder.event(victim.pod, "Normal", "Preempted", text)


def _offers(node: Obj) -> tuple[object, ...]:
    """What of a node matters to placement; heartbeats do not."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    return node["metadata"].get("labels"), spec.get("taints"), spec.get("unschedulable"), status.get("allocatable")


def _asks(pod: Obj | None) -> tuple[object, ...]:
    """What of a pod matters to placement; its status does not."""
    return () if pod is None else (pod["spec"], pod["metadata"].get("labels"))
