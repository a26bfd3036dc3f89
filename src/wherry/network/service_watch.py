"""What the API says about services, as records, and who has to look again when it changes.

Is: three informers turned into keys. Is not: a queue with retries: a follower empties its set, fails, and resyncs.
Always true: a follower that has been told of a key and asks for it gets the state of now, which may be newer.
"""

from __future__ import annotations

import asyncio

from wherry.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from wherry.api.types import Obj
from wherry.client.informer import InformerFactory
from wherry.network.services import ServiceRecord, resolve

SERVICE_NAME = "kubernetes.io/service-name"
_BY_SERVICE = "service"


class Follower:
    """Keys (`namespace/name`) of services that changed since they were taken."""

    def __init__(self) -> None:
        self._keys: dict[str, None] = {}
        self.namespaces = False
        self.wake = asyncio.Event()

    def add(self, key: str) -> None:
        self._keys[key] = None
        self.wake.set()

    def add_namespaces(self) -> None:
        self.namespaces = True
        self.wake.set()

    def take(self) -> tuple[list[str], bool]:
        """The keys, and whether namespaces came or went; nothing is left."""
        keys, self._keys = list(self._keys), {}
        namespaces, self.namespaces = self.namespaces, False
        self.wake.clear()
        return keys, namespaces


class ServiceWatch:
    """The services of a cluster as this node sees them."""

    def __init__(self, factory: InformerFactory, node: str) -> None:
        self._node = node
        self._services = factory.informer(SERVICES)
        self._slices = factory.informer(ENDPOINT_SLICES)
        self._namespaces = factory.informer(NAMESPACES)
        self._followers: list[Follower] = []
        self._slices.add_index(_BY_SERVICE, _services_of)
        self._services.add_handler(lambda _type, obj, _old: self._changed([key_of(obj)]))
        self._slices.add_handler(self._slice_changed)
        self._namespaces.add_handler(self._namespace_changed)

    async def wait_synced(self) -> None:
        for informer in (self._services, self._slices, self._namespaces):
            await informer.wait_synced()

    def follow(self) -> Follower:
        """One that is told of every change from now on; what there is already, `records` says."""
        follower = Follower()
        self._followers.append(follower)
        return follower

    def unfollow(self, follower: Follower) -> None:
        self._followers.remove(follower)

    def records(self) -> dict[str, ServiceRecord]:
        """Every service there is."""
        found = ((key, self.record(key)) for key in map(key_of, self._services.list()))
        return {key: record for key, record in found if record is not None}

    def namespaces(self) -> tuple[str, ...]:
        return tuple(sorted(obj["metadata"]["name"] for obj in self._namespaces.list()))

    def service(self, key: str) -> Obj | None:
        namespace, _, name = key.partition("/")
        return self._services.get(name, namespace)

    def record(self, key: str) -> ServiceRecord | None:
        """None when there is no such service."""
        service = self.service(key)
        return None if service is None else resolve(service, self._slices.by_index(_BY_SERVICE, key), self._node)

    def _changed(self, keys: list[str]) -> None:
        for follower in self._followers:
            for key in keys:
                follower.add(key)

    def _slice_changed(self, _type: str, obj: Obj, old: Obj | None) -> None:
        self._changed([*_services_of(obj), *(_services_of(old) if old else [])])

    def _namespace_changed(self, type_: str, _obj: Obj, _old: Obj | None) -> None:
        if type_ != "modified":
            for follower in self._followers:
                follower.add_namespaces()


def key_of(obj: Obj) -> str:
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


def _services_of(slice_: Obj) -> list[str]:
    name = (slice_["metadata"].get("labels") or {}).get(SERVICE_NAME)
    return [f"{slice_['metadata']['namespace']}/{name}"] if name else []
