"""The node agent, put together: sources in, pod workers out.

Sources are the pods of this node (an informer) and what the runtime holds (pleg). At start both are known before anything
is decided, so a restarted kubelet finds its pods running and leaves them alone, and ends those deleted meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import random

from wherry.aio.clock import Clock
from wherry.api.resources import PODS
from wherry.api.types import GVR, Obj
from wherry.client.informer import ChangeType, InformerFactory
from wherry.client.rest import Client
from wherry.cri.interface import ImageService, RuntimeService, SandboxStatus
from wherry.kubelet import pod_spec
from wherry.kubelet.backoff import Backoff
from wherry.kubelet.config import NodeConfig
from wherry.kubelet.container_start import ContainerStarter
from wherry.kubelet.env import Environment
from wherry.kubelet.events import PodEvents, Recorder
from wherry.kubelet.eviction.manager import EvictionManager
from wherry.kubelet.eviction.pressure import Pressure
from wherry.kubelet.eviction.usage import Usage
from wherry.kubelet.garbage import Garbage
from wherry.kubelet.hooks import Hooks
from wherry.kubelet.images import Images
from wherry.kubelet.network_policies import NetworkPolicies
from wherry.kubelet.node_facts import read_facts
from wherry.kubelet.node_status import NodeStatus
from wherry.kubelet.objects import Objects
from wherry.kubelet.parts import Addresses, Parts
from wherry.kubelet.pleg import Pleg
from wherry.kubelet.pod_workers import PodWorkers
from wherry.kubelet.prober import Prober
from wherry.kubelet.remove import TreeRemover
from wherry.kubelet.routes import Routes
from wherry.kubelet.scraping import Scraper
from wherry.kubelet.server import KubeletServer
from wherry.kubelet.stats import Stats
from wherry.kubelet.status_manager import StatusManager
from wherry.kubelet.volumes.manager import VolumeManager
from wherry.kubelet.volumes.tokens import Tokens

log = logging.getLogger(__name__)


class Kubelet:
    """`await run()` until cancelled. The informers and the recorder are run by whoever made them."""

    def __init__(
        self,
        config: NodeConfig,
        *,
        client: Client,
        informers: InformerFactory,
        recorder: Recorder,
        runtime: RuntimeService,
        images: ImageService,
        addresses: Addresses,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.config = config
        self._informer = informers.informer(PODS, fields=f"spec.nodeName={config.name}")
        facts = read_facts(config)
        events = PodEvents(recorder)
        objects = Objects(client, informers)
        self.pleg = Pleg(runtime, clock, rng, self._wake, config.owner, self._noticed)
        status = StatusManager(client, clock, rng)
        trees = TreeRemover(runtime)
        volumes = VolumeManager(config, facts, objects, Tokens(client, clock), trees, clock, rng)
        agent = f"kube-probe/{'.'.join(config.kubelet_version.removeprefix('v').split('.')[:2])}"
        prober = Prober(runtime, clock, events, self._wake, agent)
        garbage = Garbage(config, runtime, self.pleg, trees)
        environment = Environment(objects, facts)
        pressure = Pressure(config.eviction_transition_seconds)
        self.parts = Parts(
            config=config,
            clock=clock,
            rng=rng,
            runtime=runtime,
            pleg=self.pleg,
            status=status,
            volumes=volumes,
            images=Images(images, objects, events, clock),
            starter=ContainerStarter(config, facts, runtime, self.pleg, environment, volumes, garbage, events),
            hooks=Hooks(prober.asker, clock),
            prober=prober,
            events=events,
            addresses=addresses,
            garbage=garbage,
            routes=Routes(informers, clock),
            policies=NetworkPolicies(informers, self._policies_changed),
            pressure=pressure,
            crash_backoff=Backoff(),
        )
        self.workers = PodWorkers(self.parts)
        self.stats = Stats(config, facts, runtime, self.pleg, self.workers.pods, clock)
        scraper = Scraper(runtime, self.pleg, self.workers.pods, clock)
        self.server = KubeletServer(self.parts, self.workers, self.stats, scraper)
        self._node = NodeStatus(config, facts, client, runtime, images, self.pleg, recorder, pressure, clock)
        usage = Usage(config, runtime, self.pleg)
        changed = self._node.report_now
        self._eviction = EvictionManager(config, facts, pressure, usage, self.workers, recorder, changed, clock)
        objects.listen(self._object_changed)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.pleg.run(), name="pleg")
            tasks.create_task(self.parts.status.run(), name="status manager")
            tasks.create_task(self.parts.prober.run(), name="prober")
            tasks.create_task(self.parts.volumes.run(), name="volumes")
            tasks.create_task(self.workers.run(), name="pod workers")
            tasks.create_task(self.server.run(), name="kubelet server")
            tasks.create_task(self._node.run(), name="node status")
            await self._follow_pods()
            tasks.create_task(self._eviction.run(), name="eviction manager")

    def statistics(self) -> dict[str, dict[str, int]]:
        parts = self.parts
        return {
            "pleg": self.pleg.statistics(),
            "status": parts.status.statistics(),
            "prober": parts.prober.statistics(),
            "volumes": parts.volumes.statistics(),
            "workers": self.workers.statistics(),
        }

    async def _follow_pods(self) -> None:
        """Begin once both sides are known, else a running pod would look new, or a deleted one wanted."""
        await self._informer.wait_synced()
        await self.parts.policies.wait_synced()
        await self.pleg.wait_synced()
        for sandbox in self.pleg.sandboxes():
            if sandbox.config.ip and not self.parts.addresses.claim(sandbox.config.uid, sandbox.config.ip):
                log.warning("sandbox %s: its address %s belongs to another", sandbox.id, sandbox.config.ip)
        self._informer.add_handler(self._pod_changed)
        known = self.workers.uids()
        for sandbox in self.pleg.sandboxes():
            if sandbox.config.uid not in known:
                log.info("pod %s/%s is gone: ending it", sandbox.config.namespace, sandbox.config.name)
                self.workers.orphan(self._orphan(sandbox))
        await self.parts.garbage.sweep(self.workers.uids())

    def _pod_changed(self, change: ChangeType, pod: Obj, old: Obj | None) -> None:
        if old is not None and pod_spec.uid_of(old) != pod_spec.uid_of(pod):
            self.workers.pod_gone(old)  # deleted and made anew between two looks
        if change == "deleted":
            self.workers.pod_gone(pod)
        else:
            self.workers.pod_changed(pod)

    def _orphan(self, sandbox: SandboxStatus) -> Obj:
        """As much of a pod as the runtime remembers: enough to end it in order."""
        names = sorted({each.config.name for each in self.pleg.containers() if each.sandbox_id == sandbox.id})
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": sandbox.config.name,
                "namespace": sandbox.config.namespace,
                "uid": sandbox.config.uid,
            },
            "spec": {"containers": [{"name": name} for name in names], "hostNetwork": sandbox.config.host_network},
        }

    def _wake(self, uid: str) -> None:
        self.workers.wake(uid)

    def _noticed(self, uid: str, container: str, text: str) -> None:
        self.workers.noticed(uid, container, text)

    def _policies_changed(self, namespace: str) -> None:
        self.workers.reconsider(namespace)

    def _object_changed(self, gvr: GVR, namespace: str, name: str) -> None:
        self.workers.wake_waiting(namespace)
