"""Watches over APIServices: asks the servers behind them, says how they are, publishes what they have.

    APIService, Service or EndpointSlice changed, RESYNC_SECONDS passed
        -> plan (`availability`) -> probe (`remote`) -> `serving.publish`, status condition

Is: a controller like any other, in the API server's process because it changes what is served. Always true: what is
published changes only when what a server has, or whether it can be asked, changed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from wherry.aio.clock import Clock, rfc3339
from wherry.api.resources import API_SERVICES, ENDPOINT_SLICES, SERVICES
from wherry.api.scheme import Resource
from wherry.api.types import Obj
from wherry.apiserver.aggregation.availability import (
    LOCAL,
    Verdict,
    after_asking,
    before_asking,
    port_of,
    with_verdict,
)
from wherry.apiserver.aggregation.remote import Remote
from wherry.apiserver.backends import SERVICE_NAME
from wherry.apiserver.core import Core
from wherry.apiserver.outward import Target
from wherry.apiserver.serving import Published
from wherry.apiserver.trust import Identity
from wherry.client.informer import Informer, InformerFactory
from wherry.client.rest import Client
from wherry.reconcile.controller import Controller
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import write_status_if_there

RESYNC_SECONDS = 30.0
"""How often a server that answers is asked again; Kubernetes' informers resync as often."""
RETRY_SECONDS = 5.0
"""How often one that does not: a pod that has just become ready is told by its EndpointSlice at once."""
_BY_SERVICE = "service"
_OWNER = "apiservices/"
_NEEDED = ("group", "version", "groupPriorityMinimum", "versionPriority")


class Aggregator:
    """The reconciler; one key per APIService."""

    def __init__(
        self, core: Core, client: Client, factory: InformerFactory, clock: Clock, identity: Identity | None
    ) -> None:
        self._core = core
        self._client = client
        self._clock = clock
        self._identity = identity
        self.api_services: Informer = factory.informer(API_SERVICES)
        self.services: Informer = factory.informer(SERVICES)
        self.slices: Informer = factory.informer(ENDPOINT_SLICES)
        self.api_services.add_index(_BY_SERVICE, lambda obj: _service_key(_spec(obj).get("service")))
        self.slices.add_index(_BY_SERVICE, _slice_key)
        self._remotes: dict[str, Remote] = {}

    async def reconcile(self, request: Request) -> Result | None:
        name = request.name
        found = self.api_services.get(name)
        if found is None or not _spec(found).get("service"):
            self._remotes.pop(name, None)
            self._core.serving.withdraw(_OWNER + name)
            if found is not None:
                await self._tell(found, LOCAL)
            return None
        spec = _spec(found)
        if not all(spec.get(key) for key in _NEEDED) or not all(
            spec["service"].get(key) for key in ("name", "namespace")
        ):
            return None  # stored before they were validated: nobody can be asked for it
        remote = self._remote(name, spec)
        verdict = self._look(spec["service"])
        resources: tuple[Resource, ...] = ()
        documents: Mapping[str, bytes] = {}
        swagger = b""
        if verdict is None:
            problem, resources = await remote.probe()
            verdict = after_asking(remote.target.base + remote.path, problem)
            if not problem:
                documents, swagger = await remote.openapi(), await remote.swagger()
        remote.problem = "" if verdict.status == "True" else verdict.message
        self._publish(name, spec, remote, resources, documents, swagger)
        await self._tell(found, verdict)
        return Result(requeue_after=RETRY_SECONDS if remote.problem else RESYNC_SECONDS)

    def _remote(self, name: str, spec: Obj) -> Remote:
        target = target_of(spec)
        known = self._remotes.get(name)
        if known is None or known.target != target:
            known = Remote(spec["group"], spec["version"], target, self._core.connections, self._identity)
            self._remotes[name] = known
        return known

    def _look(self, reference: Obj) -> Verdict | None:
        service = self.services.get(reference["name"], reference["namespace"])
        slices = self.slices.by_index(_BY_SERVICE, f"{reference['namespace']}/{reference['name']}")
        port = port_of(service, reference) if service is not None else None
        ready = sum(_ready(each, (port or {}).get("name", "")) for each in slices) if port is not None else 0
        return before_asking(reference, service, len(slices), ready)

    def _publish(
        self,
        name: str,
        spec: Obj,
        remote: Remote,
        resources: tuple[Resource, ...],
        documents: Mapping[str, bytes],
        swagger: bytes,
    ) -> None:
        what = Published(
            resources=resources,
            group_versions=((spec["group"], spec["version"]),),
            group_priority=spec["groupPriorityMinimum"],
            version_priority=spec["versionPriority"],
            forward=remote.answer,
            stale=bool(remote.problem),
            documents=documents,
            swagger=swagger,
        )
        if self._core.serving.published.get(_OWNER + name) != what:
            self._core.serving.publish(_OWNER + name, what)

    async def _tell(self, obj: Obj, verdict: Verdict) -> None:
        status = with_verdict(obj.get("status"), verdict, rfc3339(self._clock.time()))
        await write_status_if_there(self._client, API_SERVICES, obj, status)


def build(
    core: Core, client: Client, factory: InformerFactory, clock: Clock, identity: Identity | None = None
) -> Controller:
    """Wired to the informers of APIServices, Services and EndpointSlices. `identity`: the certificate servers know us by."""
    queue: WorkQueue[Request] = WorkQueue("apiservice", clock)
    aggregator = Aggregator(core, client, factory, clock, identity)

    def concerned(keys: list[str]) -> None:
        for key in keys:
            for each in aggregator.api_services.by_index(_BY_SERVICE, key):
                queue.add(Request.of(each))

    def changed(change: str, obj: Obj, old: Obj | None) -> None:
        if old is None or change == "deleted" or _spec(obj) != _spec(old):
            queue.add(Request.of(obj))

    aggregator.api_services.add_handler(changed)
    aggregator.services.add_handler(lambda _change, obj, _old: concerned([_key(obj["metadata"])]))
    aggregator.slices.add_handler(lambda _change, obj, _old: concerned(_slice_key(obj)))
    sources = (aggregator.api_services, aggregator.services, aggregator.slices)
    return Controller("apiservice", aggregator, queue, sources=sources)


def _spec(obj: Obj) -> Obj:
    spec: Obj = obj.get("spec") or {}
    return spec


def target_of(spec: Obj) -> Target:
    """Where the server of an APIService is."""
    service = spec["service"]
    try:
        bundle = base64.b64decode(spec.get("caBundle") or "", validate=True)
    except (binascii.Error, ValueError):
        bundle = b"not base64"  # refused when it is used, with a text that says what is wrong
    return Target(
        namespace=service["namespace"],
        name=service["name"],
        port=service.get("port", 443),
        ca_bundle=bundle,
        insecure=bool(spec.get("insecureSkipTLSVerify")),
    )


def _key(reference: Obj) -> str:
    return f"{reference.get('namespace', '')}/{reference.get('name', '')}"


def _service_key(reference: Obj | None) -> list[str]:
    return [_key(reference)] if reference else []


def _slice_key(obj: Obj) -> list[str]:
    metadata = obj["metadata"]
    name = (metadata.get("labels") or {}).get(SERVICE_NAME)
    return [f"{metadata['namespace']}/{name}"] if name else []


def _ready(piece: Obj, port_name: str) -> int:
    if all((port.get("name") or "") != port_name for port in piece.get("ports") or []):
        return 0
    endpoints = piece.get("endpoints") or []
    return sum((each.get("conditions") or {}).get("ready") is not False for each in endpoints)
