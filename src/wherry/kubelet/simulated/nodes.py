"""The Node objects of nodes that only pretend, and their heartbeats.

Named `simulated-0` … and labelled `wherry.dev/simulated: "true"`, spread over three zones. The annotation
`simulation.wherry.dev/heartbeat: "off"` on a Node cuts it off, as a fault made on purpose does: no lease is renewed, its pods
are left as they are, and the node lifecycle does the rest; without the annotation, or the fault, it is back.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable

from msgspec import Struct

from wherry.aio.backoff import Backoff
from wherry.aio.clock import Clock, rfc3339, rfc3339_micro
from wherry.api.errors import StatusError, is_already_exists, is_conflict, is_not_found
from wherry.api.resources import LEASES, NODES
from wherry.api.types import Obj
from wherry.client.informer import ChangeType, Informer
from wherry.client.rest import Client
from wherry.kubelet import node_facts
from wherry.kubelet.node_status import LEASE_NAMESPACE, LEASE_SECONDS
from wherry.kubelet.simulated.heartbeats import Heartbeats
from wherry.kubelet.simulated.script import PREFIX

log = logging.getLogger(__name__)

LABEL = "wherry.dev/simulated"
HEARTBEAT = f"{PREFIX}heartbeat"
ZONES = ("simulated-a", "simulated-b", "simulated-c")
CAPACITY = {"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110"}  # what kwok's nodes have
RENEW_SECONDS = 30.0
"""Within the lease of 40 s: five thousand nodes are 170 small writes a second, which a real kubelet's 10 s would triple."""
CUT_OFF_SECONDS = 1.0
"""How often a node that a fault cuts off looks whether it still does."""
WRITES_MAX = 64  # at once; they share an fsync


class SimulatedNode(Struct, frozen=True):
    """Its name and InternalIP (out of 198.18.0.0/15, which RFC 2544 keeps for tests), both of which follow from its number."""

    number: int
    name: str
    address: str


def node(number: int) -> SimulatedNode:
    return SimulatedNode(number, f"simulated-{number}", f"198.{18 + (number >> 16)}.{number >> 8 & 255}.{number & 255}")


def node_object(about: SimulatedNode, version: str, now: float) -> Obj:
    """As a kubelet would register it, ready at once; `version` is "1.36"."""
    labels = {
        LABEL: "true",
        "kubernetes.io/arch": node_facts.architecture(),
        "kubernetes.io/hostname": about.name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/region": "simulated",
        "topology.kubernetes.io/zone": ZONES[about.number % len(ZONES)],
    }
    addresses = [{"type": "InternalIP", "address": about.address}, {"type": "Hostname", "address": about.name}]
    info = {
        "kubeletVersion": f"v{version}.0",
        "containerRuntimeVersion": "simulated://wherry",
        "osImage": "simulated",
        "operatingSystem": "linux",
        "architecture": node_facts.architecture(),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": about.name, "labels": labels},
        "status": {
            "capacity": CAPACITY,
            "allocatable": CAPACITY,
            "conditions": [ready(now)],
            "addresses": addresses,
            "nodeInfo": info,
        },
    }


def ready(now: float) -> Obj:
    """The one condition a simulated node has."""
    stamp = rfc3339(now)
    return {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
        "lastHeartbeatTime": stamp,
        "lastTransitionTime": stamp,
    }


def is_ready(obj: Obj) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def is_simulated(obj: Obj) -> bool:
    """Whether a Node only pretends."""
    return (obj["metadata"].get("labels") or {}).get(LABEL) == "true"


class SimulatedNodes:
    """As many as `wanted`, kept alive; those of an earlier, larger number are removed. `await run()` until cancelled."""

    def __init__(
        self,
        client: Client,
        nodes: Informer,
        wanted: int,
        version: str,
        clock: Clock,
        rng: random.Random,
        heartbeats: Heartbeats | None = None,
        mine: Iterable[int] | None = None,
        cut_off: Callable[[str], bool] = lambda name: False,
    ) -> None:
        """`heartbeats`: reckon them instead of waiting for each, and write them in `catch_up`. `mine`: the numbers of those
        to keep alive, where others keep the rest; all of them otherwise. `cut_off`: which ones a fault keeps from the API now;
        in time that is not reckoned."""
        self._client = client
        self._informer = nodes
        self._version = version
        self._clock = clock
        self._rng = rng
        self._heartbeats = heartbeats
        self._reporting: set[str] = set()
        self._wanted = {node(number).name for number in range(wanted)}
        self._nodes = {node(number).name: node(number) for number in (range(wanted) if mine is None else mine)}
        self._silent: set[str] = set()
        self._cut_off = cut_off
        self._slots = asyncio.Semaphore(WRITES_MAX)
        self._tasks: asyncio.TaskGroup | None = None
        self.on_change: Callable[[str], None] = lambda name: None
        """Called when a node came or went, or fell silent or spoke again."""

    def get(self, name: str) -> SimulatedNode | None:
        return self._nodes.get(name)

    def is_silent(self, name: str) -> bool:
        return name in self._silent or self._cut_off(name)

    async def run(self) -> None:
        await self._informer.wait_synced()
        self._informer.add_handler(self._node_changed)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for each in self._informer.list():
                if LABEL in (each["metadata"].get("labels") or {}) and each["metadata"]["name"] not in self._wanted:
                    tasks.create_task(self._remove(each))
            for about in self._nodes.values():
                tasks.create_task(self._live(about), name=f"node {about.name}")
            await asyncio.Event().wait()  # for nodes that speak again, when no heartbeat is waited for

    def _node_changed(self, change: ChangeType, obj: Obj, old: Obj | None) -> None:
        name = obj["metadata"]["name"]
        if name not in self._nodes:
            return
        off = (obj["metadata"].get("annotations") or {}).get(HEARTBEAT) == "off"
        if change != "deleted" and off == (name in self._silent):
            self._perhaps_report(name, obj)
            return
        if off and change != "deleted":
            self._silent.add(name)
            if self._heartbeats is not None:
                self._heartbeats.fall_silent(name)
        else:
            self._silent.discard(name)
            if self._heartbeats is not None:
                self._heartbeats.speak(name)
            if change != "deleted" and self._tasks is not None:
                self._tasks.create_task(self._beat(name))
        self.on_change(name)

    def _perhaps_report(self, name: str, obj: Obj) -> None:
        """Whoever says that a node is not ready is put right with its next heartbeat, reckoned ones included."""
        if self._heartbeats is None or self._tasks is None or name in self._reporting or name in self._silent:
            return
        if not is_ready(obj) and self._heartbeats.last_sign(name) > 0:
            self._reporting.add(name)
            self._tasks.create_task(self._report(name, self._heartbeats.next(name) - self._clock.monotonic()))

    async def _report(self, name: str, pause: float) -> None:
        await self._clock.sleep(pause)
        self._reporting.discard(name)
        await self._beat(name)

    async def catch_up(self) -> None:
        """Write the leases that were renewed since the last time, with the moments at which they were."""
        if self._heartbeats is None or not (due := self._heartbeats.due()):
            return
        now, monotonic = self._clock.time(), self._clock.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for name, moment in due:
                registered = self._informer.get(name)
                if registered is not None:
                    tasks.create_task(self._catch_up(registered, now - (monotonic - moment)))

    async def _catch_up(self, registered: Obj, moment: float) -> None:
        async with self._slots:
            await self._renew(registered, moment)

    async def _live(self, about: SimulatedNode) -> None:
        """Register, then renew the lease; the first renewals are spread over a whole period."""
        backoff = Backoff(self._rng, maximum=RENEW_SECONDS)
        while not await self._register(about):
            await self._clock.sleep(backoff.next())
        pause = RENEW_SECONDS * self._rng.random()
        if self._heartbeats is not None:
            self._heartbeats.begin(about.name, self._clock.monotonic() + pause)
            return
        while True:
            await self._clock.sleep(pause)
            pause = RENEW_SECONDS
            if self._cut_off(about.name):
                await self._outlast(about.name)
            await self._beat(about.name)

    async def _outlast(self, name: str) -> None:
        """Return once the fault is over; the node's pods take up what they missed."""
        while self._cut_off(name):
            await self._clock.sleep(CUT_OFF_SECONDS)
        self.on_change(name)

    async def _beat(self, name: str) -> None:
        """The lease, and the condition if somebody has given the node up meanwhile."""
        registered = self._informer.get(name)
        if self.is_silent(name) or registered is None:
            return
        async with self._slots:
            await self._renew(registered, self._clock.time())
            if not is_ready(registered):
                status = {"conditions": [ready(self._clock.time())]}
                try:
                    await self._client.patch(NODES, name, {"status": status}, type="strategic", subresource="status")
                except (StatusError, ConnectionError) as error:
                    log.warning("node %s not reported: %s", name, error)

    async def _register(self, about: SimulatedNode) -> bool:
        """False when the API server refuses the node, or is away."""
        async with self._slots:
            try:
                registered = self._informer.get(about.name)
                if registered is None:
                    wanted = node_object(about, self._version, self._clock.time())
                    registered = await self._client.create(NODES, wanted)
            except (StatusError, ConnectionError) as error:  # made already, perhaps: the informer will say so
                log.warning("node %s not registered: %s", about.name, error)
                return False
            await self._renew(registered, self._clock.time())
        return True

    async def _renew(self, registered: Obj, moment: float) -> None:
        """`moment` in Unix seconds."""
        now, name = rfc3339_micro(moment), registered["metadata"]["name"]
        try:
            await self._client.patch(LEASES, name, {"spec": {"renewTime": now}}, LEASE_NAMESPACE)
        except StatusError as error:
            if is_not_found(error):
                await self._make_lease(registered, now)
            else:
                log.warning("lease of node %s not renewed: %s", name, error)
        except ConnectionError as error:
            log.warning("lease of node %s not renewed: %s", name, error)

    async def _make_lease(self, registered: Obj, now: str) -> None:
        name = registered["metadata"]["name"]
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": registered["metadata"]["uid"]}
        lease: Obj = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
        }
        try:
            await self._client.create(LEASES, lease)
        except StatusError as error:
            if not is_already_exists(error):
                log.warning("lease of node %s not made: %s", name, error)
        except ConnectionError as error:
            log.warning("lease of node %s not made: %s", name, error)

    async def _remove(self, obj: Obj) -> None:
        async with self._slots:
            try:
                await self._client.delete(NODES, obj["metadata"]["name"], uid=obj["metadata"]["uid"])
            except StatusError as error:
                if not (is_not_found(error) or is_conflict(error)):
                    raise
