"""Whether Services still send traffic to a pod, as the node's own proxy knows it.

A pod that is deleted hears SIGTERM only after its Services have stopped sending to it: Kubernetes lets both happen at the
same time, and answers a few requests of every rolling update with "connection refused". Here one informer's event is all
there is to wait for, so the wait is some milliseconds, and bounded.
"""

from __future__ import annotations

import asyncio

from wherry.aio.clock import Clock
from wherry.api.resources import ENDPOINT_SLICES
from wherry.api.types import Obj
from wherry.client.informer import ChangeType, InformerFactory
from wherry.kubelet import pod_spec

SECONDS_MAX = 1.0
"""A control plane that is away must not hold back a pod's end."""
SETTLE_SECONDS = 0.03
"""From the event that takes a pod out of its slices to the kernel's rules: the proxy reads the same event."""


class Routes:
    def __init__(self, informers: InformerFactory, clock: Clock) -> None:
        self._clock = clock
        self._slices = informers.informer(ENDPOINT_SLICES)
        self._slices.add_index("pod", _pods_of)
        self._slices.add_handler(self._changed)
        self._waiting: dict[str, list[asyncio.Event]] = {}

    def is_routed(self, uid: str) -> bool:
        """Some Service counts the pod among its ready endpoints."""
        return any(_is_ready(found, uid) for found in self._slices.by_index("pod", uid))

    async def wait_unrouted(self, pod: Obj, seconds: float) -> None:
        """Return when no Service sends new connections to the pod, or after `seconds` at most."""
        uid = pod_spec.uid_of(pod)
        if not self.is_routed(uid):
            return
        changed = asyncio.Event()
        self._waiting.setdefault(uid, []).append(changed)
        try:
            async with asyncio.timeout(min(seconds, SECONDS_MAX)):
                while self.is_routed(uid):
                    changed.clear()
                    await changed.wait()
                await self._clock.sleep(SETTLE_SECONDS)
        except TimeoutError:
            pass
        finally:
            self._waiting[uid].remove(changed)
            if not self._waiting[uid]:
                del self._waiting[uid]

    def _changed(self, change: ChangeType, obj: Obj, old: Obj | None) -> None:
        if not self._waiting:
            return
        for uid in {*_pods_of(obj), *(_pods_of(old) if old is not None else ())}:
            for event in self._waiting.get(uid, ()):
                event.set()


def _pods_of(obj: Obj) -> list[str]:
    references = [(endpoint.get("targetRef") or {}) for endpoint in obj.get("endpoints") or ()]
    return [str(each["uid"]) for each in references if each.get("kind") == "Pod" and each.get("uid")]


def _is_ready(obj: Obj, uid: str) -> bool:
    """`ready` left out means ready (EndpointConditions)."""
    for endpoint in obj.get("endpoints") or ():
        if (endpoint.get("targetRef") or {}).get("uid") == uid:
            return (endpoint.get("conditions") or {}).get("ready") is not False
    return False
