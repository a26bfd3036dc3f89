"""Notices nodes that no longer report, taints them, and moves their pods away.

    Lease older than GRACE_SECONDS     conditions become Unknown
    Ready is False or Unknown          taints not-ready / unreachable, NoSchedule and NoExecute; its pods are not ready
    NoExecute taint                    pods that do not tolerate it are deleted, or after their tolerationSeconds

One key per node. Looks again by itself when a lease or a toleration runs out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wherry.aio.clock import parse_rfc3339, rfc3339
from wherry.api.errors import StatusError, is_not_found
from wherry.api.resources import LEASES, NODES, PODS
from wherry.api.tolerations import covers
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.reconcile.controller import Controller
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import condition, is_finished, is_terminating
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly, write_status

GRACE_SECONDS = 40.0
"""kube-controller-manager's --node-monitor-grace-period was 40 s up to 1.31 and is 50 s since; one machine may be brisk."""
LEASE_NAMESPACE = "kube-node-lease"
NODE_INDEX = "node"
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
STOPPED = "Kubelet stopped posting node status."
WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


def build(parts: Parts, *, grace_seconds: float = GRACE_SECONDS, workers: int = 5) -> Controller:
    """The controller, wired to the informers of nodes, their leases and pods."""
    queue: WorkQueue[Request] = WorkQueue("node-lifecycle", parts.clock)
    nodes, pods = parts.factory.informer(NODES), parts.factory.informer(PODS)
    leases = parts.factory.informer(LEASES, namespace=LEASE_NAMESPACE)
    pods.add_index(NODE_INDEX, lambda pod: [pod["spec"]["nodeName"]] if pod["spec"].get("nodeName") else [])
    reconciler = NodeLifecycle(parts, nodes, leases, pods, grace_seconds)

    def on_node(type: str, node: Obj, old: Obj | None) -> None:
        if type == "deleted":
            reconciler.forget(node["metadata"]["name"])
        else:
            reconciler.observe(node["metadata"]["name"])
        queue.add(Request.of(node))

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


def with_unknown(node: Obj, now: float) -> Obj:
    """The status of a node that stopped reporting."""
    status = node.get("status") or {}
    stamp = rfc3339(now)
    known = {one["type"]: one for one in status.get("conditions") or ()}
    conditions = [one for one in status.get("conditions") or () if one["type"] not in WATCHED]
    for kind in WATCHED:
        before = known.get(kind)
        if before is None:
            reason, message = "NodeStatusNeverUpdated", "Kubelet never posted node status."
        else:
            reason, message = "NodeStatusUnknown", STOPPED
        if before is not None and before["status"] == "Unknown":
            conditions.append(before)
            continue
        heartbeat = (before or {}).get("lastHeartbeatTime") or node["metadata"].get("creationTimestamp")
        conditions.append(
            {
                "type": kind,
                "status": "Unknown",
                "lastHeartbeatTime": heartbeat,
                "lastTransitionTime": stamp,
                "reason": reason,
                "message": message,
            }
        )
    return {**status, "conditions": conditions}


def taints_for(node: Obj, now: float) -> list[Obj]:
    """The node's taints as its Ready condition demands; those of others stay."""
    ready = condition(node, "Ready")
    before: Sequence[Obj] = (node.get("spec") or {}).get("taints") or ()
    wanted = ""
    if ready is None or ready["status"] == "Unknown":
        wanted = UNREACHABLE
    elif ready["status"] == "False":
        wanted = NOT_READY
    taints = [one for one in before if one["key"] not in (NOT_READY, UNREACHABLE) or one["key"] == wanted]
    for effect in ("NoSchedule", "NoExecute"):
        if wanted and not any(one["key"] == wanted and one["effect"] == effect for one in taints):
            taint = {"key": wanted, "effect": effect}
            taints.append({**taint, "timeAdded": rfc3339(now)} if effect == "NoExecute" else taint)
    return taints


def evict_at(pod: Obj, taints: Iterable[Obj], now: float) -> float | None:
    """When the pod must leave because of NoExecute taints, in Unix seconds; None if it may stay for good."""
    tolerations = pod["spec"].get("tolerations") or ()
    leave: float | None = None
    for taint in taints:
        if taint["effect"] != "NoExecute":
            continue
        covering = [one for one in tolerations if covers(one, taint)]
        if not covering:
            return now
        limits = [one["tolerationSeconds"] for one in covering if one.get("tolerationSeconds") is not None]
        if limits:
            since = parse_rfc3339(taint["timeAdded"]) if taint.get("timeAdded") else now
            at = since + max(min(limits), 0)
            leave = at if leave is None else min(at, leave)
    return leave


class NodeLifecycle:
    def __init__(self, parts: Parts, nodes: Informer, leases: Informer, pods: Informer, grace_seconds: float) -> None:
        self._client = parts.client
        self._nodes = nodes
        self._leases = leases
        self._pods = pods
        self._recorder = parts.recorder
        self._clock = parts.clock
        self._grace_seconds = grace_seconds
        self._seen: dict[str, tuple[str, float]] = {}

    def forget(self, name: str) -> None:
        self._seen.pop(name, None)

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
            next_eviction = await self._evict(node, now)
        except StatusError as error:
            if is_not_found(error):
                return None
            raise
        times = [one for one in (left if left > 0 else None, next_eviction) if one is not None]
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
        return self._seen[name][1] + self._grace_seconds - self._clock.monotonic()

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
        metadata = pod["metadata"]
        patch = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [changed]}}
        try:
            await self._client.patch(
                PODS, metadata["name"], patch, metadata["namespace"], type="strategic", subresource="status"
            )
        except StatusError as error:
            if error.code not in (404, 409):
                raise
            return
        self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    async def _taint(self, node: Obj, now: float) -> Obj:
        before = (node.get("spec") or {}).get("taints") or []
        after = taints_for(node, now)
        if after == before:
            return node
        spec = {key: value for key, value in (node.get("spec") or {}).items() if key != "taints"}
        if after:
            spec["taints"] = after
        return await self._client.update(NODES, {**node, "spec": spec})

    async def _evict(self, node: Obj, now: float) -> float | None:
        """Delete the pods whose time is up; in how many seconds the next one's is."""
        taints = (node.get("spec") or {}).get("taints") or ()
        if not any(one["effect"] == "NoExecute" for one in taints):
            return None
        soonest: float | None = None
        for pod in self._pods.by_index(NODE_INDEX, node["metadata"]["name"]):
            at = None if is_terminating(pod) or is_finished(pod) else evict_at(pod, taints, now)
            if at is None:
                continue
            if at > now:
                soonest = at - now if soonest is None else min(soonest, at - now)
                continue
            metadata = pod["metadata"]
            text = f"Marking for deletion Pod {metadata['namespace']}/{metadata['name']}"
            self._recorder.event(pod, "Normal", "TaintManagerEviction", text)
            await delete_exactly(self._client, PODS, pod)
        return soonest
