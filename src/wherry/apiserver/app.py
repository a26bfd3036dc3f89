"""The API server's core: one request in, one answer out, no sockets.

    request info -> authentication -> impersonation -> authorization -> route -> verb handler (admission inside) -> answer

`handle` is for the edge: every failure becomes a Status. `serve` is for callers in the same process: failures are raised.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct, field

from wherry.aio.clock import Clock
from wherry.api.errors import StatusError, internal_error
from wherry.api.resources import EVENTS
from wherry.api.scheme import Scheme
from wherry.api.types import GVR, Obj
from wherry.apiserver import negotiation
from wherry.apiserver.admission.chain import Admission
from wherry.apiserver.admission.policies.status import USER as STATUS_USER
from wherry.apiserver.admission.policies.status import PolicyStatus
from wherry.apiserver.audit.audit import Audit
from wherry.apiserver.auth.rbac import Authorizer
from wherry.apiserver.auth.tokens import ServiceAccountTokens
from wherry.apiserver.auth.user import User
from wherry.apiserver.core import Call, Core
from wherry.apiserver.custom_metrics import GROUP as CUSTOM_METRICS
from wherry.apiserver.custom_metrics import CustomMetricsAPI
from wherry.apiserver.deprecations import deprecation
from wherry.apiserver.dialing import Dialer, MachineNetwork
from wherry.apiserver.documents import Documents
from wherry.apiserver.event_ttl import EventTTL
from wherry.apiserver.extensions.manager import Extensions
from wherry.apiserver.filters.authorization import attributes, authorize
from wherry.apiserver.filters.impersonation import impersonate
from wherry.apiserver.filters.request_info import RequestInfo, parse
from wherry.apiserver.handlers import reviews
from wherry.apiserver.health import NOT_FOUND, Health
from wherry.apiserver.http import Answer, Hijack, Request, Response
from wherry.apiserver.limits import RETRY_AFTER_SECONDS, Limits, TooMany
from wherry.apiserver.metrics import Metrics
from wherry.apiserver.metrics_api import RESOURCES as METRICS_RESOURCES
from wherry.apiserver.metrics_api import MetricsAPI
from wherry.apiserver.registry.catalogue import strategies
from wherry.apiserver.registry.strategy import Strategy
from wherry.apiserver.respond import write
from wherry.apiserver.routes import UnknownGroup, find_handler, find_resource
from wherry.chaos.deciding import Asked, of_request
from wherry.chaos.faults import API, Faults
from wherry.storage import errors as storage_errors
from wherry.storage.interface import Storage

log = logging.getLogger(__name__)
BODY_BYTES_MAX = 3 << 20
"""Of one request, as kube-apiserver limits it (etcd takes 1.5 MiB of it)."""


Operation: TypeAlias = Callable[[], Awaitable[Obj]]


def _no_kubelet(node: str) -> str:
    return f"/nonexistent/kubelet-{node}.sock"


class Options(Struct):
    """What the composition root decides. `tokens`: static bearer tokens and whom they stand for; `service_account_key`: PEM;
    `kubelet_socket`: node name -> path; `allocators`: see `registry.strategy.Context`."""

    service_account_key: bytes
    tokens: Mapping[str, User] = field(default_factory=dict)
    server_address: str = "127.0.0.1:6443"
    kubelet_socket: Callable[[str], str] = _no_kubelet
    allocators: Mapping[str, Any] = field(default_factory=dict)
    admission: Admission | None = None
    strategies: Mapping[GVR, Strategy] | None = None
    dialer: Dialer = field(default_factory=MachineNetwork)
    """How webhooks, aggregated APIs and proxied pods are reached."""
    audit: Audit | None = None
    operations: Mapping[str, Operation] = field(default_factory=dict)
    """Path -> what a POST to it does, for whom the authorizer lets; its answer is sent as it is."""
    faults: Faults | None = None
    """Made on purpose, where somebody may want them."""


class App:
    """One API server over one storage. `storage` is started by whoever made it."""

    def __init__(self, scheme: Scheme, storage: Storage, clock: Clock, rng: random.Random, options: Options) -> None:
        tokens = ServiceAccountTokens(options.service_account_key, clock, rng)
        self.core = Core(
            scheme,
            storage,
            options.strategies if options.strategies is not None else strategies(scheme),
            options.admission or Admission(),
            Authorizer(storage),
            tokens,
            options.tokens,
            options.kubelet_socket,
            clock,
            rng,
            options.allocators,
            options.dialer,
        )
        self.extensions = Extensions(self.core, rng)
        self.clock = clock
        self._operations = options.operations
        self.audit = options.audit
        self.faults = options.faults
        self.tokens = tokens
        self.limits = Limits(self.core.reader, storage)
        self.metrics = Metrics(storage, self.core.serving, self.limits)
        self.metrics.collectors.append(self.core.admission.families)
        self.health = Health(lambda: "")
        self._documents = Documents(self.core.serving, self.health, self.metrics, tokens, options.server_address)
        self.metrics_api = MetricsAPI(self.core.reader, options.kubelet_socket, clock)
        custom = CustomMetricsAPI(self.core.reader, options.kubelet_socket, clock)
        self.core.serving.publish(CUSTOM_METRICS, custom.published())

    async def run(self) -> None:
        """What the server does unasked, until cancelled: it lets old Events go, serves custom resources and
        checks the types of policies."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(EventTTL(self.core.storage, self.core.served[EVENTS].registry, self.clock).run())
                group.create_task(self.extensions.run())
                group.create_task(PolicyStatus(self.core, self.core.context(STATUS_USER), self.clock).run())
        finally:
            self.core.connections.close()

    async def handle(self, request: Request) -> Answer:
        """Never raises but for cancellation: a failure is a Status, a bug of ours a 500 and a log entry."""
        info = parse(request.method, request.path, request.query)
        if self.audit is not None:
            return await self.audit.around(request, info, self._handle)
        return await self._handle(request, info)

    async def _handle(self, request: Request, info: RequestInfo) -> Answer:
        started = self.clock.monotonic()
        info = parse(request.method, request.path, request.query)
        metrics = self.metrics
        kind = "readOnly" if info.verb in ("get", "list", "watch") else "mutating"
        metrics.in_flight[kind] += 1
        try:
            answer = await self.serve(request, info)
        except StatusError as error:
            answer = failure(request, error)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            answer = failure(request, internal_error(f"{type(error).__name__}: {error}"))
        finally:
            metrics.in_flight[kind] -= 1
        code = 101 if isinstance(answer, Hijack) else answer.status
        series = request.series = metrics.series(request, info, self._is_known(info), code)
        if isinstance(answer, Response):
            metrics.measured(series, request, self.clock.monotonic() - started)
        else:
            series.unmeasured += 1
        return answer

    def _is_known(self, info: RequestInfo) -> bool:
        return info.is_resource and GVR(info.group, info.version, info.resource) in self.core.serving.resources

    async def serve(self, request: Request, info: RequestInfo) -> Answer:
        """The chain. Raises StatusError."""
        core = self.core
        if request.user is not None:
            if self.faults is not None:
                await self._strike(self.faults, request, info, request.user, inside=True)
            return await self._serve(request, info, request.user)
        known = core.authenticator.authenticate(request)
        user = impersonate(request.headers, known, core.authorizer)
        if request.audit is not None:
            asked = attributes(info, request.query)
            request.audit.identified(known, user, asked, core.authorizer.decide(user, asked))
        try:
            seated = await self.limits.enter(request, user, info)
        except TooMany as error:
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS), "X-Content-Type-Options": "nosniff"}
            return Response(429, None, f"{error}\n".encode(), negotiation.TEXT, headers)
        try:
            authorize(info, user, core.authorizer, request.query)
            if self.faults is not None:
                await self._strike(self.faults, request, info, user, inside=False)
            return await self._serve(request, info, user)
        finally:
            if seated and request.flow is not None:
                self.limits.give(request.flow)

    async def _strike(self, faults: Faults, request: Request, info: RequestInfo, user: User, inside: bool) -> None:
        """Faults made on purpose. Raises StatusError."""
        if not faults.active(API) or not info.is_resource:
            return
        agent = request.headers.get("user-agent", "")
        about = (info.verb, info.resource, info.group, info.namespace, info.name)
        blow = of_request(faults, Asked(*about, user.name, agent), inside)
        if blow.seconds:
            await self.clock.sleep(blow.seconds)
        if blow.error is not None:
            raise blow.error

    async def _serve(self, request: Request, info: RequestInfo, user: User) -> Answer:
        """Of an authorized request."""
        core = self.core
        if core.serving.forwards and (forward := core.serving.forward(info)) is not None:
            return await forward(request, info, user)
        if not info.is_resource:
            if request.method == "POST" and info.path in self._operations:
                return write(await self._operations[info.path](), negotiation.negotiate(request.headers, request.query))
            return self._documents.answer(request, info)
        try:
            resource = find_resource(core.serving, info, request.method)
        except UnknownGroup:
            return NOT_FOUND
        try:
            if resource.gvr in METRICS_RESOURCES:
                return await self.metrics_api.handle(request, info, resource)
            if resource.resource in reviews.RESOURCES:
                return await reviews.handle(core, request, info, resource, user)
            return await self._resource(request, info, user)
        except storage_errors.WriteFailed as error:
            raise internal_error(f"storage: {error}") from error
        except storage_errors.Closed:
            raise StatusError(503, "ServiceUnavailable", "the server is shutting down") from None

    async def _resource(self, request: Request, info: RequestInfo, user: User) -> Answer:
        core = self.core
        gvr = GVR(info.group, info.version, info.resource)
        if info.resource == "bindings" and not info.group:
            gvr, info = _as_pod_binding(info)
        if request.in_process or info.subresource == "proxy":
            wanted = negotiation.PLAIN  # of a proxied answer the backend decides
        else:
            request.warnings += deprecation(gvr, core.scheme.version)
            if core.served[gvr].warning:
                request.warnings.append(core.served[gvr].warning)
            message = self._message(gvr, info)
            wanted = negotiation.negotiate(request.headers, request.query, info.verb == "watch", message)
        check_name(info.name)
        return await find_handler(info)(core, Call(request, info, core.served[gvr], user, wanted))

    def _message(self, gvr: GVR, info: RequestInfo) -> tuple[str, str]:
        """(apiVersion, kind) of what a path is answered with, as far as it can be said in protobuf."""
        resource = self.core.scheme.resources.get(gvr)
        sub = resource.subresource(info.subresource) if resource is not None and info.subresource else None
        if resource is None:
            return negotiation.NO_MESSAGE
        if sub is None:
            return resource.api_version, resource.kind
        return (f"{sub.group}/{sub.version}" if sub.group else sub.version), sub.kind


def _as_pod_binding(info: RequestInfo) -> tuple[GVR, RequestInfo]:
    """POST to `bindings` is the older spelling of POST to `pods/NAME/binding`; the name is in the body."""
    return GVR("", "v1", "pods"), RequestInfo(
        info.path, info.verb, True, "", "v1", info.namespace, "pods", "", "binding"
    )


def check_name(name: str) -> None:
    """Names that are no path segment. Raises 400."""
    if name in (".", ".."):
        raise StatusError(400, "BadRequest", f"Name parameter invalid: \"{name}\": may not be '{name}'")


def failure(request: Request, error: StatusError) -> Response:
    """A StatusError as the caller reads it."""
    status = error.to_status()
    wanted = negotiation.for_error(request.headers, request.query)
    return Response(error.code, status, negotiation.encode(status, wanted), wanted.media, dict(error.headers))
