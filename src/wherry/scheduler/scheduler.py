"""Takes pods without a node one at a time: decide, assume, bind; or say why not.

Decisions are made one after the other on a snapshot that includes every decision before; bindings travel to the API side
by side. Nothing is polled: a pod is tried when it appears, and again when something happens that could help it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from random import Random

from wherry.api.resources import (
    CSI_NODES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICES,
    STORAGE_CLASSES,
)
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import is_finished, is_terminating
from wherry.scheduler import preemption
from wherry.scheduler.binder import Binder, Bound
from wherry.scheduler.budgets import Budgets
from wherry.scheduler.decision import Fit, Unfit, decide
from wherry.scheduler.framework import Filter, Happening, Score
from wherry.scheduler.plugins import (
    default_spread,
    image_locality,
    node_affinity,
    node_basics,
    node_resources,
    pod_topology_spread,
    taint_toleration,
)
from wherry.scheduler.plugins.inter_pod_affinity import inter_pod_affinity
from wherry.scheduler.plugins.node_volume_limits import node_volume_limits
from wherry.scheduler.plugins.volume_binding import volume_binding
from wherry.scheduler.plugins.volume_restrictions import volume_restrictions
from wherry.scheduler.plugins.volume_zone import volume_zone
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.profiles import DEFAULT, Profile
from wherry.scheduler.queue import Pending, SchedulingQueue
from wherry.scheduler.ranking import Rankings
from wherry.scheduler.refusal import Refusals
from wherry.scheduler.snapshot import Snapshot
from wherry.scheduler.volumes import Choice, Volumes

log = logging.getLogger(__name__)


class _Rules:
    """What one profile goes by, with what it remembers."""

    def __init__(self, filters: Sequence[Filter], scores: Sequence[Score], snapshot: Snapshot, rng: Random) -> None:
        self.filters = filters
        self.scores = scores
        self.rankings = Rankings(snapshot, filters, scores, rng)


class Scheduler:
    """The scheduler of every pod whose `spec.schedulerName` is the name of one of the profiles."""

    def __init__(self, parts: Parts, *, profiles: Sequence[Profile] = DEFAULT) -> None:
        self._rng = parts.rng
        self._snapshot = Snapshot()
        self._queue = SchedulingQueue(parts.clock)
        self._refusals = Refusals(parts)
        self._start = 0
        self._decisions = 0
        nodes, pods = parts.factory.informer(NODES), parts.factory.informer(PODS)
        claims, volumes = parts.factory.informer(PERSISTENT_VOLUME_CLAIMS), parts.factory.informer(PERSISTENT_VOLUMES)
        namespaces = parts.factory.informer(NAMESPACES)
        budgets = parts.factory.informer(POD_DISRUPTION_BUDGETS)
        self._budgets = Budgets(budgets, parts.clock)
        classes, csi_nodes = parts.factory.informer(STORAGE_CLASSES), parts.factory.informer(CSI_NODES)
        services = parts.factory.informer(SERVICES)
        self._volumes = Volumes(claims, volumes, classes)
        self._binder = Binder(parts, self._volumes)
        self._sources: tuple[Informer, ...] = (
            nodes, pods, claims, volumes, classes, csi_nodes, services, namespaces, budgets
        )  # fmt: skip
        affinity_filter, affinity_score = inter_pod_affinity(namespaces)
        filters: Sequence[Filter] = (
            node_basics.NODE_UNSCHEDULABLE,
            node_basics.NODE_NAME,
            taint_toleration.FILTER,
            node_affinity.FILTER,
            node_basics.NODE_PORTS,
            node_resources.FILTER,
            volume_restrictions(claims),
            node_volume_limits(claims, volumes, classes, csi_nodes),
            volume_binding(self._volumes),
            volume_zone(claims, volumes),
            pod_topology_spread.FILTER,
            affinity_filter,
        )
        scores: Sequence[Score] = (
            taint_toleration.SCORE,
            node_affinity.SCORE,
            node_resources.LEAST_ALLOCATED,
            node_resources.BALANCED,
            pod_topology_spread.SCORE,
            default_spread.OF_REPLICAS,
            default_spread.of_services(services),
            image_locality.SCORE,
            affinity_score,
        )
        self._rules = {
            one.name: _Rules(one.filters(filters), one.scores(scores), self._snapshot, parts.rng) for one in profiles
        }
        nodes.add_handler(self._on_node)
        pods.add_handler(self._on_pod)
        for source in (claims, volumes, classes):
            source.add_handler(self._on_claim)
        csi_nodes.add_handler(lambda type, obj, old: self._queue.happened(Happening.NODE_CHANGED))
        budgets.add_handler(lambda type, obj, old: self._budgets.spoken(obj))

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
                await self._binder.ready()
                await asyncio.sleep(0)

    def statistics(self) -> dict[str, int]:
        """Pods in each part of the queue, decisions and bound pods since the start."""
        return {**self._queue.statistics(), "decisions": self._decisions, "scheduled": self._binder.scheduled}

    # -- what happens

    def _on_node(self, type: str, node: Obj, old: Obj | None) -> None:
        if type == "deleted":
            self._snapshot.remove_node(node["metadata"]["name"])
            return
        self._snapshot.put_node(node)
        if old is None or _offers(node) != _offers(old):
            self._queue.happened(Happening.NODE_CHANGED)

    def _on_claim(self, type: str, obj: Obj, old: Obj | None) -> None:
        """A claim, a volume or a class."""
        self._queue.happened(Happening.CLAIM_CHANGED)
        self._binder.claims_changed()

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
            terminating = is_terminating(pod)
            if terminating:
                self._budgets.going(uid)
            if not known or terminating or _asks(pod) != _asks(old):
                self._snapshot.put_pod(pod)
                self._queue.remove(uid)
                self._queue.happened(Happening.POD_PLACED)
            return
        self._waiting(pod, old)

    def _gone(self, pod: Obj) -> None:
        uid = pod["metadata"]["uid"]
        self._queue.remove(uid)
        self._budgets.going(uid)
        self._binder.gone(uid)
        held = self._snapshot.is_assumed(uid) or self._snapshot.denominate(uid)
        self._snapshot.remove_pod(uid)
        if held or pod["spec"].get("nodeName"):
            self._queue.happened(Happening.POD_GONE)

    def _waiting(self, pod: Obj, old: Obj | None) -> None:
        """A pod without a node: ours, not held back by gates, not on its way out, and new or changed."""
        uid, spec = pod["metadata"]["uid"], pod["spec"]
        if _scheduler_name(pod) not in self._rules or spec.get("schedulingGates") or is_terminating(pod):
            self._queue.remove(uid)
            self._binder.gone(uid)
            if self._snapshot.denominate(uid):
                self._queue.happened(Happening.POD_GONE)
            return
        if self._snapshot.is_assumed(uid):
            return
        self._follow_nomination(pod, old)
        if old is None or uid not in self._queue or _asks(pod) != _asks(old):
            self._queue.add(PodInfo.of(pod))
        else:
            self._queue.refresh(uid, pod)

    def _follow_nomination(self, pod: Obj, old: Obj | None) -> None:
        """Somebody else may promise room too, and after a start our own promises are read here."""
        wanted = _nominated(pod)
        if wanted == _nominated(old) or wanted == self._snapshot.nominated(pod["metadata"]["uid"]):
            return
        if wanted:
            self._snapshot.nominate(PodInfo.of(pod), wanted)
        elif self._snapshot.denominate(pod["metadata"]["uid"]):
            self._queue.happened(Happening.POD_GONE)

    # -- what is done about it

    def _try(self, pending: Pending, tasks: asyncio.TaskGroup) -> None:
        """Decide about one pod, without awaiting; what must be written is written by tasks."""
        pod = pending.info
        self._decisions += 1
        rules = self._rules[_scheduler_name(pod.pod)]
        known = rules.rankings.choose(pod)
        if known is not None:
            outcome: Fit | Unfit = Fit(known, 0)
        else:
            outcome = decide(pod, self._snapshot, rules.filters, rules.scores, self._rng, start=self._start)
        if isinstance(outcome, Fit):
            self._start = (self._start + outcome.examined) % max(len(self._snapshot.nodes), 1)
            node = self._snapshot.node(outcome.node)
            choices = self._volumes.choose(pod, node) if node is not None and pod.pod["spec"].get("volumes") else []
            self._snapshot.assume(pod, outcome.node)
            tasks.create_task(self._bind(pending, outcome.node, choices), name=f"bind {pod.key}")
            return
        self._queue.unschedulable(pending, outcome.helped_by)
        gain = self._make_room(pod, outcome, rules.filters)
        work = self._refuse(pending, outcome.message(gain.explanation), gain)
        tasks.create_task(work, name=f"refuse {pod.key}")

    def _make_room(self, pod: PodInfo, unfit: Unfit, filters: Sequence[Filter]) -> preemption.Preemption:
        """Decide whom to evict and promise the room, before anybody else is decided about."""
        doomed = self._budgets.doomed()
        gain = preemption.plan(pod, unfit, self._snapshot, filters, self._budgets.now(), doomed)
        if gain.node:
            self._snapshot.nominate(pod, gain.node)
            self._budgets.take(gain.victims)
        elif gain.hopeless and self._snapshot.denominate(pod.uid):
            self._queue.happened(Happening.POD_GONE)
        return gain

    async def _bind(self, pending: Pending, node: str, choices: Sequence[Choice]) -> None:
        bound = await self._binder.bind(pending.info, node, choices)
        if bound is not Bound.YES:
            self._snapshot.forget(pending.info.uid)
            self._queue.happened(Happening.POD_GONE)
        if bound is Bound.FAILED:
            self._queue.failed(pending)
        else:
            self._queue.remove(pending.info.uid)

    async def _refuse(self, pending: Pending, message: str, gain: preemption.Preemption) -> None:
        """Say why the pod waits; evict; whoever is less important and was promised the same room looks elsewhere."""
        pod = pending.info
        node = self._snapshot.node(gain.node)
        displaced = [one for one in node.nominated.values() if one.priority < pod.priority] if node is not None else []
        for one in displaced:
            self._snapshot.denominate(one.uid)
            self._queue.activate(one.uid)
        left = await self._refusals.write(pod, message, self._snapshot.nominated(pod.uid), gain, displaced)
        for one in left:
            self._budgets.spare(one.uid)
        if left:
            self._queue.failed(pending)


def _scheduler_name(pod: Obj) -> str:
    return pod["spec"].get("schedulerName") or "default-scheduler"


def _nominated(pod: Obj | None) -> str:
    return ((pod or {}).get("status") or {}).get("nominatedNodeName") or ""


def _offers(node: Obj) -> tuple[object, ...]:
    """What of a node matters to placement; heartbeats do not."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    return node["metadata"].get("labels"), spec.get("taints"), spec.get("unschedulable"), status.get("allocatable")


def _asks(pod: Obj | None) -> tuple[object, ...]:
    """What of a pod matters to placement; its status does not."""
    return () if pod is None else (pod["spec"], pod["metadata"].get("labels"))
