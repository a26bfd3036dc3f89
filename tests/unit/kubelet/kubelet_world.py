"""A whole kubelet in virtual time: a memory API, a scripted runtime, and what a test asks of them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from kubelet_runtime import ListedImages, ScriptedRuntime

from wherry.aio.clock import LoopClock, rfc3339
from wherry.api.errors import StatusError
from wherry.api.resources import CONFIG_MAPS, PODS, SECRETS
from wherry.api.types import GVR, Obj
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client
from wherry.kubelet.config import NodeConfig
from wherry.kubelet.eviction.thresholds import Threshold
from wherry.kubelet.kubelet import Kubelet
from wherry.testing.fake_api import FakeApi

NODE = "node"


class NodeApi(FakeApi):
    """FakeApi with the three things a kubelet leans on: status patches by merge keys, graceful deletion, tokens."""

    def __init__(self, clock: LoopClock) -> None:
        super().__init__()
        self.clock = clock
        self.tokens_made = 0
        self.status_patches: list[Obj] = []
        self.token_seconds = 3607.0

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Obj:
        if method == "POST" and path.endswith("/token"):
            self._begin(method, path)
            self.tokens_made += 1
            expires = rfc3339(self.clock.time() + self.token_seconds)
            return {"status": {"token": f"token-{self.tokens_made}", "expirationTimestamp": expires}}
        if method == "PATCH" and "/pods/" in path and path.endswith("/status"):
            body = await self._merge_status(path, body)
        if method == "DELETE" and "/pods/" in path and body and body.get("gracePeriodSeconds") != 0:
            return await self._delete_gracefully(path, body)
        return await super().request(method, path, query=query, body=body, content_type=content_type)

    async def _merge_status(self, path: str, body: Obj) -> Obj:
        self.status_patches.append(body["status"])
        pod = await super().request("GET", path.removesuffix("/status"))
        assert body["metadata"]["uid"] == pod["metadata"]["uid"]
        status = dict(body["status"])
        if "conditions" in status:
            old = {each["type"]: each for each in (pod.get("status") or {}).get("conditions") or ()}
            for each in status["conditions"]:
                merged = old.get(each["type"], {}) | each
                kept = {"lastProbeTime"}  # an always null field of the API
                old[each["type"]] = {key: value for key, value in merged.items() if value is not None or key in kept}
            status["conditions"] = list(old.values())
        if "podIPs" in status:
            status["podIPs"] = [each for each in status["podIPs"] if "$patch" not in each]
        return {"status": status}

    async def _delete_gracefully(self, path: str, body: Obj) -> Obj:
        pod = await super().request("GET", path)
        seconds = body.get("gracePeriodSeconds")
        if seconds is None:
            seconds = pod["spec"].get("terminationGracePeriodSeconds", 30)
        stamp = {"deletionTimestamp": rfc3339(self.clock.time() + seconds), "deletionGracePeriodSeconds": seconds}
        return await super().request("PUT", path, body={**pod, "metadata": {**pod["metadata"], **stamp}})


class Events:
    """Recorder that keeps everything."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str, str, str]] = []

    def event(self, obj: Obj, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.all.append((obj["metadata"]["name"], type, reason, message))

    def messages(self, reason: str) -> list[str]:
        return [message for _, _, each, message in self.all if each == reason]

    def reasons(self) -> list[str]:
        """Of what was said about pods."""
        return [reason for name, _, reason, _ in self.all if name != NODE]

    def reasons_of_node(self) -> list[str]:
        return [reason for name, _, reason, _ in self.all if name == NODE]


class Addresses:
    def __init__(self) -> None:
        self.held: dict[str, str] = {}

    def allocate(self, owner: str) -> str:
        return self.held.setdefault(owner, f"10.244.0.{len(self.held) + 5}")

    def claim(self, owner: str, ip: str) -> bool:
        self.held[owner] = ip
        return True

    def release(self, owner: str) -> None:
        self.held.pop(owner, None)


class World:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = LoopClock()
        self.api = NodeApi(self.clock)
        self.client = Client(self.api)
        self.runtime = ScriptedRuntime(self.clock)
        self.images = ListedImages()
        self.events = Events()
        self.addresses = Addresses()
        self.kubelet: Kubelet | None = None
        self.eviction: tuple[Threshold, ...] = ()
        self.injected: dict[str, int] = {}
        self._pods = 0
        self._tasks: list[asyncio.Future[None]] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Kubelet]:
        """A kubelet, started and, at the end, killed. May be entered again: a restarted agent."""
        informers = InformerFactory(self.client, self.clock, random.Random(1))
        config = NodeConfig(
            name=NODE,
            pods_directory=self.directory / "pods",
            logs_directory=self.directory / "logs",
            socket=self.directory / "kubelet.sock",
            host_resolv_conf=self.directory / "resolv.conf",
            eviction=self.eviction,
            injected=lambda: self.injected,
        )
        self.kubelet = Kubelet(
            config,
            client=self.client,
            informers=informers,
            recorder=self.events,
            runtime=self.runtime,
            images=self.images,
            addresses=self.addresses,
            clock=self.clock,
            rng=random.Random(2),
        )
        tasks = self._tasks = [asyncio.ensure_future(informers.run()), asyncio.ensure_future(self.kubelet.run())]
        try:
            yield self.kubelet
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            self._tasks = []
            for outcome in outcomes:
                if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                    raise outcome

    async def create(self, name: str = "web", *containers: Obj, **spec: Any) -> Obj:
        """A pod bound to the node; `containers` default to one named `app`."""
        self._pods += 1
        given = [
            {"image": "app:1", "imagePullPolicy": "IfNotPresent", "command": [each["name"]], **each}
            for each in containers or ({"name": "app"},)
        ]
        for key in ("initContainers",):
            if key in spec:
                spec[key] = [{"image": "app:1", "command": [each["name"]], **each} for each in spec[key]]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}-{self._pods}", "generation": 1},
            "spec": {"nodeName": NODE, "containers": given, **spec},
            "status": {"phase": "Pending", "qosClass": "BestEffort"},
        }
        return await self.client.create(PODS, pod)

    async def put(self, gvr: GVR, name: str, **fields: Any) -> None:
        kind = {"configmaps": "ConfigMap", "secrets": "Secret"}.get(gvr.resource, "Object")
        obj = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}, **fields}
        try:
            await self.client.create(gvr, obj)
        except StatusError:
            await self.client.update(gvr, obj)

    async def config_map(self, name: str, **data: str) -> None:
        await self.put(CONFIG_MAPS, name, data=data)

    async def secret(self, name: str, **data: str) -> None:
        await self.put(SECRETS, name, data=data)

    async def delete(self, name: str = "web", grace_seconds: int | None = None) -> None:
        await self.client.delete(PODS, name, "default", grace_seconds=grace_seconds)

    def stored(self, name: str = "web") -> Obj | None:
        entry = self.api.storage.get(f"/registry/core/pods/default/{name}")
        return entry.value if entry is not None else None

    def status(self, name: str = "web") -> Obj:
        pod = self.stored(name)
        assert pod is not None, f"pod {name} is gone"
        return pod["status"]

    def container(self, container: str = "app", name: str = "web") -> Obj:
        status = self.status(name)
        lists = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
        return next(
            (each for each in lists if each["name"] == container),
            {"state": {"waiting": {"reason": "", "message": ""}}, "restartCount": 0},
        )

    def condition(self, kind: str, name: str = "web") -> Obj:
        return next(each for each in self.status(name)["conditions"] if each["type"] == kind)

    def is_ready(self, name: str = "web") -> bool:
        pod = self.stored(name)
        conditions = (pod or {}).get("status", {}).get("conditions") or ()
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def until(self, true: Callable[[], bool], seconds: float = 60.0) -> float:
        """Virtual seconds until `true()`; fails after `seconds`."""
        began = self.clock.monotonic()
        while not true():
            for task in self._tasks:
                if task.done() and not task.cancelled():
                    task.result()
            assert self.clock.monotonic() - began < seconds, f"did not happen within {seconds} s"
            await asyncio.sleep(0.005 if self.clock.monotonic() - began < 10 else 0.1)
        return self.clock.monotonic() - began


Scenario = Callable[[World], Coroutine[Any, Any, None]]
