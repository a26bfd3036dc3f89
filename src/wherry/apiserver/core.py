"""What every handler works with: one request as routed, and the services of the server around it.

`Core` is made once by `App`; it holds no request. `Call` is one request on its way through its verb handler.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from wherry.aio.clock import Clock
from wherry.api.schema import Schema
from wherry.api.scheme import Resource, Scheme
from wherry.api.structure import Findings, normalise
from wherry.api.types import GVR, Obj
from wherry.apiserver import versions
from wherry.apiserver.admission.chain import Admission, AdmissionRequest
from wherry.apiserver.apply.field_manager import manager_of
from wherry.apiserver.apply.resources import FieldManagers
from wherry.apiserver.auth import escalation
from wherry.apiserver.auth.authenticator import Authenticator
from wherry.apiserver.auth.rbac import GROUP as RBAC_GROUP
from wherry.apiserver.auth.rbac import Authorizer
from wherry.apiserver.auth.tokens import ServiceAccountTokens
from wherry.apiserver.auth.user import User
from wherry.apiserver.bodies import Bodies, Frames
from wherry.apiserver.dialing import Dialer
from wherry.apiserver.filters.request_info import RequestInfo
from wherry.apiserver.http import Request
from wherry.apiserver.negotiation import Representation
from wherry.apiserver.options import WriteOptions
from wherry.apiserver.outward import Outward
from wherry.apiserver.outward_client import OutwardClient
from wherry.apiserver.registry.generic import Registry, Write, no_objection
from wherry.apiserver.registry.strategy import Context, Strategy
from wherry.apiserver.serving import Served as Served
from wherry.apiserver.serving import Serving
from wherry.apiserver.table import Tables
from wherry.storage.interface import Entry, Storage


class Call(Struct):
    """One request for a resource."""

    request: Request
    info: RequestInfo
    served: Served
    user: User
    representation: Representation

    @property
    def resource(self) -> Resource:
        return self.served.resource

    @property
    def registry(self) -> Registry:
        return self.served.registry

    @property
    def in_process(self) -> bool:
        return self.request.in_process


class Pretended(Protocol):
    """Nodes whose pods have no processes: the simulation, where there is one."""

    def has(self, node: str) -> bool: ...

    def logs(self, pod: Obj, container: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """As `KubeletClient.stream`: the first item is b"" once it agrees. Raises StatusError before that."""
        ...


class StorageReader:
    """`registry.strategy.Reader`: other objects, for strategies and admission."""

    def __init__(self, registries: Mapping[GVR, Served], storage: Storage) -> None:
        self._served = registries
        self._storage = storage

    def get(self, gvr: GVR, name: str, namespace: str | None = None) -> Obj | None:
        served = self._served.get(gvr)
        if served is None:
            return None
        entry = self._storage.get(served.registry.key(namespace or "", name))
        return _seen(served, entry) if entry is not None else None

    def list(self, gvr: GVR, namespace: str | None = None) -> Iterable[Obj]:
        served = self._served.get(gvr)
        if served is None:
            return []
        return [_seen(served, each) for each in self._storage.list(served.registry.prefix_of(namespace or ""))]


def _seen(served: Served, entry: Entry) -> Obj:
    """A stored object in the served version, as far as that can be had without waiting."""
    return served.show(entry.value) if served.codec is None else served.codec.peek(entry)


_OPERATIONS = {"create": "CREATE", "delete": "DELETE", "deletecollection": "DELETE"}
"""verb -> what admission calls it; the others are updates."""


class Core:
    """The services."""

    def __init__(
        self,
        scheme: Scheme,
        storage: Storage,
        strategies: Mapping[GVR, Strategy],
        admission: Admission,
        authorizer: Authorizer,
        tokens: ServiceAccountTokens,
        static_tokens: Mapping[str, User],
        kubelet_socket: Callable[[str], str],
        clock: Clock,
        rng: random.Random,
        allocators: Mapping[str, Any],
        dialer: Dialer,
    ) -> None:
        self.scheme = scheme
        self.storage = storage
        self.admission = admission
        self.authorizer = authorizer
        self.tokens = tokens
        self.kubelet_socket = kubelet_socket
        self.pretended: Pretended | None = None
        """Nodes without a kubelet to ask."""
        self.clock = clock
        self.rng = rng
        self.allocators = allocators
        self.serving = Serving(scheme)
        self.served = self.serving.served
        self.field_managers = FieldManagers(scheme, self.served, clock)
        self._serve(strategies)
        self.tables = Tables(scheme, self.serving.printer)
        self.bodies = Bodies(storage)
        self.frames = Frames()
        self.reader = StorageReader(self.served, storage)
        self.connections = OutwardClient(self.reader, dialer, clock, rng)
        self.outward: Outward = self.connections
        """For calls with an answer that fits into memory; `connections` for proxying."""
        self.authenticator = Authenticator(static_tokens, tokens, self.reader, clock)

    def _serve(self, strategies: Mapping[GVR, Strategy]) -> None:
        registries: dict[GVR, Registry] = {}
        for gvr, resource in self.scheme.resources.items():
            if "get" not in resource.verbs or gvr.group == "metrics.k8s.io":
                continue  # virtual: answered without storage
            stored = versions.stored_resource(self.scheme, resource)
            registry = registries.get(stored.gvr)
            if registry is None:
                strategy = strategies.get(stored.gvr) or Strategy(stored)
                registry = registries[stored.gvr] = Registry(stored, strategy, self.storage)
            pair = versions.converters(resource, stored)
            prefix = f'{{"kind":"{stored.kind}","apiVersion":"{stored.api_version}",'.encode()
            inward, outward = pair or (None, None)
            self.served[gvr] = Served(resource, registry, inward, outward, prefix)

    def expected(self, call: Call) -> tuple[str, str, Schema]:
        """(kind, apiVersion, schema) of the objects this path takes: the resource's own or its subresource's."""
        resource = call.resource
        sub = resource.subresource(call.info.subresource) if call.info.subresource else None
        if sub is None or sub.kind == resource.kind:
            return resource.kind, resource.api_version, call.served.schema or self.scheme.schema(resource)
        return sub.kind, f"{sub.group}/{sub.version}" if sub.group else sub.version, self.scheme.schema(sub)

    def normaliser(self, call: Call) -> Callable[[Obj, Schema], Findings]:
        """How a body of this call is read: custom resources have a way of their own, their Scale has not."""
        served, sub = call.served, call.info.subresource
        return served.normalise if served.normalise is not None and sub != "scale" else normalise

    def context(self, user: User, dry_run: bool = False) -> Context:
        return Context(self.clock, self.rng, user, self.reader, self.allocators, dry_run)

    def write(self, call: Call, dry_run: bool, options: Obj | None = None) -> Write:
        """How this call writes: its admission in two phases and its context."""
        context = self.context(call.user, dry_run)
        context.served = call.served.resource
        stored, subresource = call.registry.resource, call.info.subresource

        async def admit(operation: str, obj: Obj | None, old: Obj | None) -> None:
            await self.admission.mutate(self.admission_request(call, context, operation, obj, old, options))
            if obj is not None and stored.group == RBAC_GROUP and not subresource:
                escalation.check(self.authorizer, call.user, stored.resource, obj, old)

        async def validate(operation: str, obj: Obj | None, old: Obj | None) -> None:
            await self.admission.validate(self.admission_request(call, context, operation, obj, old, options))

        patient = self.admission.asks_others(self, stored, subresource, _OPERATIONS.get(call.info.verb, "UPDATE"))
        return Write(context, admit, call.request.warnings, validate, patient)

    def owned_write(self, call: Call, options: WriteOptions) -> Write:
        """The same, and whoever changes a field owns it from then on."""
        write = self.write(call, options.dry_run)
        manager = manager_of(options.field_manager, call.request.headers.get("user-agent", ""))
        write.owners = self.field_managers.by_update(call.served, call.info.subresource, manager)
        return write

    def admission_request(
        self, call: Call, context: Context, operation: str, obj: Obj | None, old: Obj | None, options: Obj | None = None
    ) -> AdmissionRequest:
        """One write (or CONNECT) of this call as admission sees it."""
        served, metadata = call.served, (obj or old or {}).get("metadata") or {}
        namespaced = served.resource.namespaced
        return AdmissionRequest(
            operation=operation,
            resource=served.registry.resource,
            subresource=call.info.subresource,
            namespace=(call.info.namespace or metadata.get("namespace", "")) if namespaced else "",
            name=call.info.name or metadata.get("name", ""),
            object=obj,
            old_object=old,
            user=call.user,
            dry_run=context.dry_run,
            options=options if options is not None else dict(call.request.query),
            context=context,
            served=served.resource,
            world=self,
            warnings=call.request.warnings,
            annotations=call.request.audit.annotations if call.request.audit is not None else {},
            origin=call.request,
        )

    async def admit(self, call: Call, operation: str, obj: Obj, dry_run: bool = False) -> Write:
        """Both phases at once for what is no object in storage: Binding, Eviction, TokenRequest, a CONNECT's options.

        Answers with how what comes of it is written, which nobody is asked about again.
        """
        context = self.context(call.user, dry_run)
        await self.admission.admit(self.admission_request(call, context, operation, obj, None))
        return Write(context, no_objection, call.request.warnings)
