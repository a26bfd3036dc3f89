"""Notices nodes that no longer report, taints them, and moves their pods away.

    Lease older than GRACE_SECONDS     conditions become Unknown
    Ready is False or Unknown          taints not-ready / unreachable, NoSchedule and NoExecute; its pods are not ready
    pressure, no network, cordoned     a taint NoSchedule
    no node is ready at all            no NoExecute taint of ours: rather we are cut off than all of them dead
    NoExecute taint                    pods that do not tolerate it are deleted, or after their tolerationSeconds

One key per node. Looks again by itself when a lease or a toleration runs out.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from wherry.aio.clock import rfc3339
from wherry.api.errors import StatusError, is_not_found
from wherry.api.resources import LEASES, NODES, PODS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.controllers.node_lifecycle.eviction import Evictions
from wherry.controllers.node_lifecycle.health import taints_for, with_unknown
from wherry.reconcile.controller import Controller
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import condition, is_finished
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import set_pod_condition, write_status

GRACE_SECONDS = 40.0
"""kube-controller-manager's --node-monitor-grace-period was 40 s up to 1.31 and is 50 s since; one machine may be brisk."""
LEASE_NAMESPACE = "kube-node-lease"
NODE_INDEX = "node"


def unheard(name: str) -> float:
    """Of a node whose leases are all there is."""
    return -inf


def build(
    parts: Parts,
    *,
    last_sign: Callable[[str], float] = unheard,
    evicting: Parts | None = None,
    workers: int = 5,
) -> Controller:
    """The controller, wired to the informers of nodes, their leases and pods. `last_sign`: when a node was heard of
    otherwise than by its lease, on the monotonic clock; inf while it surely lives. `evicting`: as whom it speaks of pods
    that leave because of taints, in Kubernetes a controller of its own."""
    queue: WorkQueue[Request] = WorkQueue("node-lifecycle", parts.clock)
    nodes, pods = parts.factory.informer(NODES), parts.factory.informer(PODS)
    leases = parts.factory.informer(LEASES, namespace=LEASE_NAMESPACE)
    pods.add_index(NODE_INDEX, lambda pod: [pod["spec"]["nodeName"]] if pod["spec"].get("nodeName") else [])
    evictions = Evictions(evicting or parts, lambda name: pods.by_index(NODE_INDEX, name))
    reconciler = NodeLifecycle(parts, nodes, leases, pods, last_sign, evictions)

    def on_node(type: str, node: Obj, old: Obj | None) -> None:
        if type == "deleted":
            reconciler.forget(node)
        else:
            if type == "added":
                reconciler.welcome(node)
            reconciler.observe(node["metadata"]["name"])
        queue.add(Request.of(node))
        if reconciler.count_ready(type, node):
            for each in nodes.list():
                queue.add(Request.of(each))

    def on_lease(type: str, lease: Obj, old: Obj | None) -> None:
        if type != "deleted":
            reconciler.observe(lease["metadata"]["name"])
        # A heartbeat of a healthy node changes nothing: its key is looked at when it would run out.
        if type != "modified" or reconciler.is_unwell(lease["metadata"]["name"]):
            queue.add(Request("", lease["metadata"]["name"]))

    def on_pod(type: str, pod: Obj, old: Obj | None) -> None:
        name = pod["spec"].get("nodeName")
        placed = old is None or not old["spec"].get("nodeName") or old["spec"] != pod["spec"]
        if name and type != "deleted" and placed and reconciler.is_unwell(name):
            queue.add(Request("", name))

    nodes.add_handler(on_node)
    leases.add_handler(on_lease)
    pods.add_handler(on_pod)
    return Controller("node-lifecycle", reconciler, queue, workers=workers, sources=(nodes, leases, pods))


class NodeLifecycle:
    def __init__(
        self,
        parts: Parts,
        nodes: Informer,
        leases: Informer,
        pods: Informer,
        last_sign: Callable[[str], float],
        evictions: Evictions,
    ) -> None:
        self._client = parts.client
        self._nodes = nodes
        self._leases = leases
        self._pods = pods
        self._recorder = parts.recorder
        self._clock = parts.clock
        self._last_sign = last_sign
        self._evictions = evictions
        self._seen: dict[str, tuple[str, float]] = {}
        self._ready: set[str] = set()

    def count_ready(self, type: str, node: Obj) -> bool:
        """Whether it changes that any node is ready at all. If none is, the fault is likely ours: nobody is evicted."""
        before = bool(self._ready)
        ready = condition(node, "Ready")
        if type != "deleted" and ready is not None and ready["status"] == "True":
            self._ready.add(node["metadata"]["name"])
        else:
            self._ready.discard(node["metadata"]["name"])
        return bool(self._ready) != before

    def welcome(self, node: Obj) -> None:
        name = node["metadata"]["name"]
        text = f"Node {name} event: Registered Node {name} in Controller"
        self._recorder.event(node, "Normal", "RegisteredNode", text)

    def forget(self, node: Obj) -> None:
        name = node["metadata"]["name"]
        self._seen.pop(name, None)
        self._evictions.forget(name)
        text = f"Node {name} event: Removing Node {name} from Controller"
        self._recorder.event(node, "Normal", "RemovingNode", text)

    def is_unwell(self, name: str) -> bool:
        node = self._nodes.get(name)
        if node is None:
            return False
        ready = condition(node, "Ready")
        has_taints = any(one["effect"] == "NoExecute" for one in (node.get("spec") or {}).get("taints") or ())
        return has_taints or ready is None or ready["status"] != "True"

    async def reconcile(self, request: Request) -> Result | None:
        node = self._nodes.get(request.name)
        if node is None:
            return None
        now = self._clock.time()
        left = self._seconds_left(node)
        try:
            if left <= 0:
                node = await self._mark(node, now)
            node = await self._taint(node, now)
            next_eviction = await self._evictions.perform(node, now)
        except StatusError as error:
            if is_not_found(error):
                return None
            raise
        times = [one for one in (left if 0 < left < inf else None, next_eviction) if one is not None]
        return Result(requeue_after=min(times)) if times else None

    def observe(self, name: str) -> None:
        """Remember when we saw its last sign of life: measured by our own clock, so that a clock that was wrong, or our
        own absence, makes no node look silent."""
        lease, node = self._leases.get(name, LEASE_NAMESPACE), self._nodes.get(name)
        renewed = (lease or {}).get("spec", {}).get("renewTime", "")
        heartbeat = (condition(node, "Ready") or {}).get("lastHeartbeatTime") if node is not None else None
        sign = f"{renewed} {heartbeat}"
        if self._seen.get(name, ("", 0.0))[0] != sign:
            self._seen[name] = (sign, self._clock.monotonic())

    def _seconds_left(self, node: Obj) -> float:
        """Until the node counts as silent."""
        name = node["metadata"]["name"]
        self.observe(name)
        known = self._last_sign(name)
        return (known if known > -inf else self._seen[name][1]) + GRACE_SECONDS - self._clock.monotonic()

    async def _mark(self, node: Obj, now: float) -> Obj:
        ready = condition(node, "Ready")
        if ready is not None and ready["status"] == "Unknown":
            return node
        node = await write_status(self._client, NODES, node, with_unknown(node, now))
        text = f"Node {node['metadata']['name']} status is now: NodeNotReady"
        self._recorder.event(node, "Normal", "NodeNotReady", text)
        for pod in self._pods.by_index(NODE_INDEX, node["metadata"]["name"]):
            await self._mark_pod(pod, now)
        return node

    async def _mark_pod(self, pod: Obj, now: float) -> None:
        """Nobody can say whether it serves: Services must stop sending to it."""
        ready = condition(pod, "Ready")
        if is_finished(pod) or ready is None or ready["status"] != "True":
            return
        changed = {"type": "Ready", "status": "False", "lastTransitionTime": rfc3339(now)}
        if not await set_pod_condition(self._client, pod, changed):
            return
        self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    async def _taint(self, node: Obj, now: float) -> Obj:
        before = (node.get("spec") or {}).get("taints") or []
        after = taints_for(node, now, evict=bool(self._ready))
        if after == before:
            return node
        spec = {key: value for key, value in (node.get("spec") or {}).items() if key != "taints"}
        if after:
            spec["taints"] = after
        return await self._client.update(NODES, {**node, "spec": spec})
