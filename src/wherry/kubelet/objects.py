"""Objects that pods refer to: ConfigMaps, Secrets, claims, Services.

A pod must see what was written before it was created, so `get` asks the API server, and falls back to what the informers
last saw when there is no answer: containers restart while the control plane is away. Changes are passed on to whoever
registered, which is how volumes stay fresh without polling.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from wherry.api.errors import StatusError, is_not_found
from wherry.api.resources import CONFIG_MAPS, SECRETS, SERVICES
from wherry.api.types import GVR, Obj
from wherry.client.informer import ChangeType, Handler, Informer, InformerFactory
from wherry.client.rest import Client
from wherry.kubelet.failures import MissingObject

FETCHES_MAX = 4  # at once, as for status writes
Listener = Callable[[GVR, str, str], None]
WATCHED = (CONFIG_MAPS, SECRETS)


class Objects:
    def __init__(self, client: Client, informers: InformerFactory) -> None:
        self._client = client
        self._informers: dict[GVR, Informer] = {}
        self._listeners: list[Listener] = []
        self._slots = asyncio.Semaphore(FETCHES_MAX)
        self._flights: dict[tuple[GVR, str, str], asyncio.Future[Obj]] = {}
        for gvr in (*WATCHED, SERVICES):
            self._informers[gvr] = informers.informer(gvr)
        for gvr in WATCHED:
            self._informers[gvr].add_handler(self._handler(gvr))

    def listen(self, listener: Listener) -> None:
        """`listener(gvr, namespace, name)` after a ConfigMap or Secret has appeared, changed or gone."""
        self._listeners.append(listener)

    def services(self) -> list[Obj]:
        return self._informers[SERVICES].list()

    async def get(self, gvr: GVR, namespace: str, name: str) -> Obj:
        """The newest version. Raises MissingObject."""
        key = (gvr, namespace, name)
        flight = self._flights.get(key)
        if flight is None:
            # Pods of one Deployment start together and ask for the same objects: one question answers them all.
            flight = self._flights[key] = asyncio.ensure_future(self._fetch(*key))
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return await asyncio.shield(flight)

    async def _fetch(self, gvr: GVR, namespace: str, name: str) -> Obj:
        try:
            async with self._slots:
                return await self._client.get(gvr, name, namespace or None)
        except StatusError as error:
            if is_not_found(error):
                raise MissingObject(gvr, namespace, name) from error
            return self._last_seen(gvr, namespace, name, error)
        except (ConnectionError, TimeoutError) as error:
            return self._last_seen(gvr, namespace, name, error)

    def last_seen(self, gvr: GVR, namespace: str, name: str) -> Obj | None:
        informer = self._informers.get(gvr)
        return informer.get(name, namespace) if informer is not None else None

    def _last_seen(self, gvr: GVR, namespace: str, name: str, error: Exception) -> Obj:
        found = self.last_seen(gvr, namespace, name)
        if found is None:
            raise error
        return found

    def _handler(self, gvr: GVR) -> Handler:
        def handle(type: ChangeType, obj: Obj, old: Obj | None) -> None:
            if old is not None and type == "modified" and _content(old) == _content(obj):
                return
            for listener in self._listeners:
                listener(gvr, obj["metadata"]["namespace"], obj["metadata"]["name"])

        return handle


def _content(obj: Obj) -> tuple[Any, Any]:
    return obj.get("data"), obj.get("binaryData")
