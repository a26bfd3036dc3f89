"""Carries out what users do, each once: users of a cluster in trouble see failures, and go away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from wherry.aio.clock import Clock
from wherry.api.errors import StatusError
from wherry.api.resources import CONFIG_MAPS, NODES, PODS
from wherry.api.types import Obj
from wherry.client.rest import Client, Propagation
from wherry.kubelet.simulated.nodes import HEARTBEAT
from wherry.testing.simulation.manifests import KINDS, RUNS_FOREVER, manifest
from wherry.testing.simulation.scenario import Operation

PROPAGATIONS: tuple[Propagation | None, ...] = (None, "Background", "Foreground", "Orphan")
COUNTERS = 3
"""Clients that count the same counter at the same time."""
TRIES = 8
HESITATIONS = (0.0, 0.0002, 0.005)
"""Seconds between reading and writing: at once, within an fsync, after several."""
IN_DOUBT_SECONDS = 5.0
"""Longer than the slowest disk takes for what was handed to it."""
TOUCHED = "example.com/touched"


@dataclass(slots=True)
class Users:
    """Remembers what it was told, for the end."""

    client: Client
    clock: Clock
    nodes: int
    counted: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """(namespace, name, uid) of a counter -> how often somebody was told that it was counted up."""
    doubtful: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """… and how often nobody knows."""

    async def perform(self, operation: Operation) -> None:
        """What the API refuses is refused; what it does not answer may have happened."""
        verbs: dict[str, Callable[[Operation], object]] = {
            "create": self._create,
            "scale": self._scale,
            "image": self._image,
            "delete": self._delete,
            "evict": self._evict,
            "kill": self._kill,
            "count": self._count,
            "touch": self._touch,
            "pause": self._pause,
            "cordon": self._cordon,
            "silence": self._silence,
            "adopt": self._adopt,
        }
        try:
            await verbs[operation.verb](operation)  # type: ignore[misc]
        except (StatusError, ConnectionError):
            return

    async def _create(self, one: Operation) -> None:
        """Again while nobody answers."""
        obj = manifest(one.kind, one.namespace, one.name, one.number, one.seed)
        for _ in range(TRIES):
            try:
                await self.client.create(KINDS[one.kind], obj)
            except (StatusError, ConnectionError) as error:
                if isinstance(error, StatusError) and error.code < 429:
                    return
                await self.clock.sleep(3.0)
            else:
                return

    async def _scale(self, one: Operation) -> None:
        await self._patch(one, {"spec": {"replicas": one.number}})

    async def _image(self, one: Operation) -> None:
        container = {"name": "main", "image": f"app:v{one.number + 2}"}
        await self._patch(one, {"spec": {"template": {"spec": {"containers": [container]}}}})

    async def _pause(self, one: Operation) -> None:
        await self._patch(one, {"spec": {"paused": one.number % 2 == 1 or None}})

    async def _touch(self, one: Operation) -> None:
        """Somebody else writes the same object, again and again."""
        name = one.name if one.kind != "Pod" else await self._pod(one)
        for number in range(1 + one.number):
            patch = {"metadata": {"annotations": {TOUCHED: str(number)}}}
            await self.client.patch(KINDS[one.kind], name, patch, one.namespace)
            await self.clock.sleep(0.2)

    async def _patch(self, one: Operation, patch: Obj) -> None:
        await self.client.patch(KINDS[one.kind], one.name, patch, one.namespace or None, type="strategic")

    async def _delete(self, one: Operation) -> None:
        propagation = PROPAGATIONS[one.seed % len(PROPAGATIONS)]
        await self.client.delete(KINDS[one.kind], one.name, one.namespace or None, propagation=propagation)

    async def _pod(self, one: Operation) -> str:
        """Some pod of the application of that name that is not going anyway."""
        listed = (await self.client.list(PODS, one.namespace, labels=f"app={one.name}"))["items"]
        found = [pod for pod in listed if "deletionTimestamp" not in pod["metadata"]]
        if not found:
            raise StatusError(404, "NotFound", "there is no pod")
        name: str = found[one.seed % len(found)]["metadata"]["name"]
        return name

    async def _evict(self, one: Operation) -> None:
        """As many as `number` at once, as somebody in a hurry drains a node."""
        listed = (await self.client.list(PODS, one.namespace, labels=f"app={one.name}"))["items"]
        going = random.Random(one.seed).sample(listed, min(1 + one.number, len(listed)))
        await _together(self._evict_pod(pod["metadata"]["name"], one) for pod in going)

    async def _evict_pod(self, name: str, one: Operation) -> None:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": one.namespace}}
        await self.client.create(PODS, body, one.namespace, "eviction", name)

    async def _kill(self, one: Operation) -> None:
        grace = [None, 0, 3][one.seed % 3]
        await self.client.delete(PODS, await self._pod(one), one.namespace, grace_seconds=grace)

    async def _count(self, one: Operation) -> None:
        """Several at once: read, add one, write what was read with one more; whoever was overtaken reads again."""
        rng = random.Random(one.seed)
        counters = (self._count_up(one, random.Random(rng.random()), number) for number in range(COUNTERS))
        await _together(counters)

    async def _count_up(self, one: Operation, rng: random.Random, who: int) -> None:
        for _ in range(TRIES):
            try:
                await self._count_once(one, rng.choice(HESITATIONS), f"{one.seed}-{who}")
            except StatusError as error:
                if error.code == 409:
                    continue
                raise
            return

    async def _count_once(self, one: Operation, hesitation: float, who: str) -> None:
        counter = await self.client.get(CONFIG_MAPS, one.name, one.namespace)
        key = (one.namespace, one.name, counter["metadata"]["uid"])
        await self.clock.sleep(hesitation)
        more = {**counter, "data": {"count": str(int(counter["data"]["count"]) + 1), "by": who}}
        try:
            await self.client.update(CONFIG_MAPS, more)
        except ConnectionError:
            self.doubtful[key] = self.doubtful.get(key, 0) + 1
            raise
        except StatusError as error:
            if error.code >= 500:
                self.doubtful[key] = self.doubtful.get(key, 0) + 1
            raise
        self.counted[key] = self.counted.get(key, 0) + 1

    async def _node(self, one: Operation, patch: Obj) -> None:
        await self.client.patch(NODES, f"simulated-{one.seed % self.nodes}", patch)

    async def _cordon(self, one: Operation) -> None:
        try:
            await self._node(one, {"spec": {"unschedulable": True}})
            await self.clock.sleep(float(one.number))
        finally:
            await self._restore(one, {"spec": {"unschedulable": None}})

    async def _silence(self, one: Operation) -> None:
        """A node that nobody hears of, long enough to be given up or not."""
        try:
            await self._node(one, {"metadata": {"annotations": {HEARTBEAT: "off"}}})
            await self.clock.sleep(20.0 * one.number)
        finally:  # it may have been done without our being told
            await self._restore(one, {"metadata": {"annotations": {HEARTBEAT: None}}})

    async def _restore(self, one: Operation, patch: Obj) -> None:
        """What a user will not forget to undo, once what was asked for without an answer has happened or never will."""
        await self.clock.sleep(IN_DOUBT_SECONDS)
        while True:
            try:
                await self._node(one, patch)
            except (StatusError, ConnectionError) as error:
                if isinstance(error, StatusError) and error.code == 404:
                    return
                await self.clock.sleep(1.0)
            else:
                return

    async def _adopt(self, one: Operation) -> None:
        """A chain of things that own one another, below a workload, something made just now, or nothing that exists."""
        chain = f"{one.name}-{one.seed}"
        if one.seed % 3 == 0:
            owner: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": f"nobody-{one.seed}"}
        elif one.seed % 3 == 1:
            made = await self.client.create(KINDS["Service"], manifest("Service", one.namespace, f"s-{chain}", 0, 0))
            owner = _reference(made, "Service")
        else:
            kind = RUNS_FOREVER[one.seed % len(RUNS_FOREVER)]
            owner = _reference(await self.client.get(KINDS[kind], one.name, one.namespace), kind)
        for number in range(1 + one.number):
            link = manifest("ConfigMap", one.namespace, f"{chain}-{number}", 0, 0)
            link["metadata"]["ownerReferences"] = [owner]
            made = await self.client.create(CONFIG_MAPS, link)
            owner = _reference(made, "ConfigMap")


async def _together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Side by side; refusals are no reason for the others to stop."""
    for outcome in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, (StatusError, ConnectionError)):
            raise outcome


def _reference(obj: Obj, kind: str) -> Obj:
    metadata = obj["metadata"]
    return {
        "apiVersion": KINDS[kind].api_version,
        "kind": kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "blockOwnerDeletion": True,
    }
