"""A whole control plane in one process and virtual time, with a node that only pretends to run pods.

Everything but the node is the real thing: storage in memory, the API server in process, controllers, scheduler.
The node obeys annotations of pods: `test/start-seconds`, `test/ready-seconds`, `test/run-seconds`, `test/exit-code`,
`test/stop-seconds`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from wherry.aio.clock import LoopClock, rfc3339
from wherry.api.errors import StatusError
from wherry.api.labels import Selector
from wherry.api.resources import DEPLOYMENTS, EVENTS, NODES, PODS
from wherry.api.scheme import Scheme
from wherry.api.types import Obj
from wherry.apiserver.app import App, Options
from wherry.apiserver.auth.user import MASTERS, User
from wherry.apiserver.bootstrap.ensure import ensure
from wherry.apiserver.bootstrap.objects import BootstrapOptions, bootstrap_objects
from wherry.apiserver.in_process import InProcessTransport
from wherry.apiserver.registry.allocation import NODE_PORTS, SERVICE_IPS
from wherry.client.events import EventRecorder
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client
from wherry.controllers import (
    deployment,
    endpoints,
    endpointslice,
    garbage_collector,
    job,
    namespace,
    pod_gc,
    replicaset,
    root_ca,
    service_account,
    statefulset,
    ttl_after_finished,
)
from wherry.reconcile.controller import Controller
from wherry.reconcile.parts import Parts
from wherry.scheduler import Scheduler
from wherry.storage.memory import MemoryStorage

NODE = "wherry"


@cache
def signing_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form)


class Allocate:
    """Cluster addresses and node ports, as many as tests need."""

    def __init__(self, values: Callable[[int], str]) -> None:
        self._values = values
        self._taken: set[str] = set()
        self._next = 2

    def allocate(self, wanted: str = "") -> str:
        while not wanted:
            value = self._values(self._next)
            self._next += 1
            wanted = value if value not in self._taken else ""
        if wanted in self._taken:
            raise ValueError("provided IP is already allocated")
        self._taken.add(wanted)
        return wanted

    def release(self, value: str) -> None:
        self._taken.discard(value)


class WithMetrics:
    """The API in process, but for metrics: metrics.k8s.io is made up from `World.usage`, custom ones from `World.rates`."""

    def __init__(self, inner: InProcessTransport, here: World) -> None:
        self._inner = inner
        self._world = here

    async def request(self, method: str, path: str, *, query: Any = None, body: Any = None, **more: Any) -> Obj:
        if path.startswith("/apis/metrics.k8s.io/v1beta1/namespaces/"):
            return self._metrics(path.split("/")[5], Selector.parse((query or {}).get("labelSelector", "")))
        if path.startswith("/apis/custom.metrics.k8s.io/v1beta2/namespaces/"):
            return self._rates(path.split("/")[5], Selector.parse((query or {}).get("labelSelector", "")))
        return await self._inner.request(method, path, query=query, body=body, **more)

    def stream(self, path: str, *, query: Any = None) -> Any:
        return self._inner.stream(path, query=query)

    async def close(self) -> None:
        await self._inner.close()

    def _metrics(self, namespace: str, selector: Selector) -> Obj:
        items = []
        for pod in self._world.factory.informer(PODS).list(namespace, selector):
            used = self._world.usage.get(pod["metadata"]["labels"].get("app", ""))
            if used is None or pod["status"].get("phase") != "Running":
                continue
            containers = [{"name": "main", "usage": {"cpu": f"{used}m", "memory": "64Mi"}}]
            metadata = {"name": pod["metadata"]["name"], "namespace": namespace}
            stamp = rfc3339(self._world.clock.time())
            items.append({"metadata": metadata, "timestamp": stamp, "window": "1s", "containers": containers})
        return {"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items}

    def _rates(self, namespace: str, selector: Selector) -> Obj:
        """Of pods; each has the one metric there is, whatever it is called."""
        items = []
        for pod in self._world.factory.informer(PODS).list(namespace, selector):
            rate = self._world.rates.get(pod["metadata"]["labels"].get("app", ""))
            if rate is None or pod["status"].get("phase") != "Running":
                continue
            stamp = rfc3339(self._world.clock.time())
            described = {"kind": "Pod", "namespace": namespace, "name": pod["metadata"]["name"]}
            items.append({"describedObject": described, "timestamp": stamp, "value": f"{rate}m"})
        return {
            "kind": "MetricValueList",
            "apiVersion": "custom.metrics.k8s.io/v1beta2",
            "metadata": {},
            "items": items,
        }


class World:
    """What a test holds: a client, the clock, and `settle`."""

    def __init__(self, seed: int) -> None:
        self.clock = LoopClock()
        self.rng = random.Random(seed)
        self.scheme = Scheme.load()
        self.storage = MemoryStorage()
        allocators = {
            SERVICE_IPS: Allocate(lambda number: f"10.96.{number // 250}.{number % 250}"),
            NODE_PORTS: Allocate(lambda number: str(30000 + number)),
        }
        options = Options(service_account_key=signing_key(), allocators=allocators)
        self.app = App(self.scheme, self.storage, self.clock, self.rng, options)
        self.usage: dict[str, int] = {}
        """app label -> thousandths of a core each of its pods uses now: what metrics.k8s.io says."""
        self.rates: dict[str, int] = {}
        """app label -> thousandths of requests per second each of its pods answers now."""
        transport = InProcessTransport(self.app, User("system:admin", (MASTERS,)))
        self.client = Client(WithMetrics(transport, self))
        self.factory = InformerFactory(self.client, self.clock, self.rng)
        self.recorder = EventRecorder(self.client, "test", NODE, self.clock, self.rng)
        self.controllers: list[Controller] = []
        self.started: list[asyncio.Task[None]] = []
        """Tasks a test adds, ended with the world."""
        self.parts = Parts(self.client, self.factory, self.recorder, self.clock, self.rng)
        self.scheduler = Scheduler(self.parts)
        self.node = FakeNode(self)

    def add(self, module: Any, **options: Any) -> Controller:
        controller = module.build(self.parts, **options)
        self.controllers.append(controller)
        return controller

    def add_usual(self) -> None:
        for module in (
            deployment,
            replicaset,
            endpointslice,
            endpoints,
            service_account,
            job,
            pod_gc,
            statefulset,
            ttl_after_finished,
        ):
            self.add(module)
        self.add(root_ca, certificate="PEM")
        self.add(namespace, scheme=self.app.core.serving)
        self.add(garbage_collector, scheme=self.app.core.serving)

    async def until(self, condition: Callable[[], Any], seconds: float = 60) -> Any:
        """Wait in virtual time until `condition()` (which may be a coroutine function) holds."""
        async with asyncio.timeout(seconds):
            while True:
                value = condition()
                if asyncio.iscoroutine(value):
                    value = await value
                if value:
                    return value
                await asyncio.sleep(0.01)

    async def get(self, gvr: Any, name: str, namespace: str = "default") -> Obj | None:
        try:
            return await self.client.get(gvr, name, namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    async def items(self, gvr: Any, namespace: str | None = "default", **selectors: str) -> list[Obj]:
        return (await self.client.list(gvr, namespace, **selectors))["items"]

    async def reasons(self, name: str, namespace: str = "default") -> list[str]:
        """`Reason: message` of the events about objects of that name, in order."""
        found = [one for one in await self.items(EVENTS, namespace) if one["involvedObject"]["name"] == name]
        found.sort(key=lambda one: int(one["metadata"]["resourceVersion"]))
        return [f"{one['reason']}: {one['message']}" for one in found]

    async def rolled_out(self, name: str, seconds: float = 120) -> None:
        """Like `kubectl rollout status`."""

        async def done() -> bool:
            one = await self.client.get(DEPLOYMENTS, name, "default")
            status, replicas = one.get("status", {}), one["spec"]["replicas"]
            return status.get("observedGeneration", 0) >= one["metadata"]["generation"] and all(
                status.get(key, 0) == replicas for key in ("updatedReplicas", "replicas", "availableReplicas")
            )

        await self.until(done, seconds)


@asynccontextmanager
async def world(seed: int = 1, *, usual: bool = True, nodes: int = 1) -> AsyncIterator[World]:
    here = World(seed)
    await here.storage.start()
    options = BootstrapOptions(rfc3339(here.clock.time()), here.scheme, storage_provisioner="wherry.dev/directory")
    needed = ("Namespace", "StorageClass", "PriorityClass")
    await ensure(here.client, here.scheme, [one for one in bootstrap_objects(options) if one["kind"] in needed])
    if usual:
        here.add_usual()
    for number in range(nodes):
        await here.node.register(NODE if number == 0 else f"{NODE}-{number}")
    tasks = [asyncio.create_task(here.factory.run()), asyncio.create_task(here.recorder.run())]
    tasks += [asyncio.create_task(here.scheduler.run()), asyncio.create_task(here.node.run())]
    tasks += [asyncio.create_task(one.run()) for one in here.controllers]
    try:
        await here.factory.wait_synced()
        yield here
    finally:
        tasks += here.started
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        await here.storage.close()
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


class FakeNode:
    """Starts, readies, ends and removes pods after the times their annotations say."""

    def __init__(self, here: World) -> None:
        self._world = here
        self._pods = here.factory.informer(PODS)
        self._pods.add_handler(self._on_pod)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping: set[str] = set()
        self._group: asyncio.TaskGroup | None = None
        self._addresses = 1
        self.names: set[str] = set()

    async def register(self, name: str, cpu: str = "8", pods: str = "110") -> None:
        amounts = {"cpu": cpu, "memory": "16Gi", "pods": pods, "ephemeral-storage": "100Gi"}
        self.names.add(name)
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastTransitionTime": None}
        node: Obj = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
        }
        stored = await self._world.client.create(NODES, node)
        # New nodes are tainted until the node lifecycle has seen them ready; it has no part in most scenarios.
        stored = await self._world.client.update(NODES, {**stored, "spec": {}})
        status = {"allocatable": amounts, "capacity": amounts, "conditions": [ready]}
        await self._world.client.update(NODES, {**stored, "status": status}, subresource="status")
        # A new node is tainted until the node lifecycle controller, which not every world has, has seen it ready.
        await self._world.client.patch(NODES, name, {"spec": {"taints": None}})

    async def run(self) -> None:
        await self._pods.wait_synced()
        async with asyncio.TaskGroup() as self._group:
            for pod in self._pods.list():
                self._on_pod("added", pod, None)
            await asyncio.Event().wait()

    def _on_pod(self, type: str, pod: Obj, old: Obj | None) -> None:
        uid = pod["metadata"]["uid"]
        if self._group is None or pod["spec"].get("nodeName") not in self.names:
            return
        if type == "deleted":
            task = self._tasks.pop(uid, None)
            if task is not None:
                task.cancel()
        elif "deletionTimestamp" in pod["metadata"]:
            if uid not in self._stopping:
                self._stopping.add(uid)
                self._group.create_task(self._stop(pod))
        elif uid not in self._tasks:
            self._tasks[uid] = self._group.create_task(self._start(pod))

    async def _start(self, pod: Obj) -> None:
        await asyncio.sleep(_number(pod, "start-seconds", 0.05))
        self._addresses += 1
        ip = f"10.244.{self._addresses // 250}.{self._addresses % 250}"
        state = {"running": {"startedAt": rfc3339(self._world.clock.time())}}
        await self._report(pod, "Running", False, ip, state)
        run_for = _number(pod, "run-seconds", -1)
        if run_for < 0:
            await asyncio.sleep(_number(pod, "ready-seconds", 0.05))
            await self._report(pod, "Running", True, ip, state)
            return
        await asyncio.sleep(run_for)
        code = int(_number(pod, "exit-code", 0))
        ended = {"exitCode": code, "reason": "Error" if code else "Completed"}
        ended["finishedAt"] = rfc3339(self._world.clock.time())
        await self._report(pod, "Failed" if code else "Succeeded", False, ip, {"terminated": ended})

    async def _stop(self, pod: Obj) -> None:
        await asyncio.sleep(_number(pod, "stop-seconds", 0.1))
        metadata = pod["metadata"]
        task = self._tasks.get(metadata["uid"])
        if task is not None:
            task.cancel()
        live = self._pods.get(metadata["name"], metadata["namespace"])
        if live is not None and live.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            await self._report(
                pod, "Failed", False, live.get("status", {}).get("podIP", ""), {"terminated": {"exitCode": 143}}
            )
        try:
            await self._world.client.delete(
                PODS, metadata["name"], metadata["namespace"], grace_seconds=0, uid=metadata["uid"]
            )
        except StatusError as error:
            if error.code not in (404, 409):
                raise

    async def _report(self, pod: Obj, phase: str, ready: bool, ip: str, state: Obj) -> None:
        stamp = rfc3339(self._world.clock.time())
        container = {"name": "main", "state": state, "ready": ready, "restartCount": 0, "image": "i", "imageID": ""}
        condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": stamp}
        status: Obj = {"phase": phase, "containerStatuses": [container], "conditions": [condition]}
        status["startTime"] = pod["metadata"]["creationTimestamp"]
        if ip:
            status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
        metadata = pod["metadata"]
        patch = {"metadata": {"uid": metadata["uid"]}, "status": status}
        try:
            await self._world.client.patch(
                PODS, metadata["name"], patch, metadata["namespace"], type="strategic", subresource="status"
            )
        except StatusError as error:
            if error.code not in (404, 409):
                raise


def _number(pod: Obj, key: str, default: float) -> float:
    return float((pod["metadata"].get("annotations") or {}).get(f"test/{key}", default))


def pod_template(app: str = "web", image: str = "shop/web:v1", **annotations: str) -> Obj:
    metadata: Obj = {"labels": {"app": app}}
    if annotations:
        metadata["annotations"] = {f"test/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {"metadata": metadata, "spec": {"containers": [{"name": "main", "image": image}]}}


def a_deployment(name: str = "web", replicas: int = 3, image: str = "shop/web:v1", **spec: Any) -> Obj:
    annotations = spec.pop("annotations", {})
    template = pod_template(name, image, **annotations)
    selector = {"matchLabels": {"app": name}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": selector, "template": template, **spec},
    }
