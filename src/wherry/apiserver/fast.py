"""GET again: a request whose bytes were served before, answered from stored bytes without a task.

What a head means (which object, who asks) is remembered with the head, per connection. What may change is looked at each
time: whether the credential still holds, whether RBAC changed, what is stored now.
"""

from __future__ import annotations

from msgspec import Struct

from wherry.api.errors import StatusError
from wherry.api.types import GVR
from wherry.apiserver.app import App
from wherry.apiserver.auth.user import NODES_GROUP
from wherry.apiserver.compression import GZIP_BYTES_MIN, takes_gzip
from wherry.apiserver.filters.request_info import parse
from wherry.apiserver.http import JSON, Request, Response
from wherry.apiserver.http1 import Head
from wherry.apiserver.metrics import Series
from wherry.apiserver.negotiation import negotiate
from wherry.apiserver.serving import Served
from wherry.chaos.faults import API

_HARMLESS = frozenset({"limit", "pretty"})
"""Query parameters that may be there with a value that changes nothing."""


class Memo(Struct, frozen=True):
    """A head that asks for one object (`key`) or for all under a prefix."""

    request: Request
    rbac: tuple[int, ...]
    served: int
    """The version of what is served."""
    key: str
    prefix: str
    head: bytes
    """Of the list, up to its resourceVersion."""
    flow: bytes
    """Headers that name its flow."""
    series: Series
    """Where it counts."""
    bytes_max: int
    """A larger answer is compressed, which is not done here."""


_HEAD = (
    b"HTTP/1.1 200 OK\r\nCache-Control: no-cache, private\r\nDate: %b\r\nContent-Type: application/json\r\n"
    b"%bContent-Length: %d\r\n\r\n"
)
_LIST_END = b"]}\n"
HEAD_BYTES = 1 << 10
"""More than what a list has before its first item."""
NO_LIMIT = 1 << 62


class FastPath:
    """Knows nothing but what it finds with a head."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._core = app.core
        self._storage = app.core.storage

    def learn(self, head: Head, request: Request, answer: Response) -> None:
        """Remember with `head` what it was answered with, if that can be said again."""
        head.memo = None
        if self._app.audit is not None:
            return  # every request is written down
        if request.method != "GET" or answer.status != 200 or head.upgrade or not head.keep_alive or request.warnings:
            return
        if any(name.startswith("impersonate-") for name in head.headers) or request.query.keys() - _HARMLESS:
            return
        series = request.series
        if series is None:
            return
        info = parse(request.method, request.path, request.query)
        served = self._core.served.get(GVR(info.group, info.version, info.resource))
        if served is None or info.subresource or served.outward is not None or served.warning:
            return
        if served.codec is not None and not served.codec.clean:
            return
        if answer.content_type != JSON or not negotiate(request.headers, request.query).plain:
            return
        if NODES_GROUP in self._core.authenticator.authenticate(request).groups:
            return  # what a node may depends on its pods
        most = GZIP_BYTES_MIN - HEAD_BYTES if takes_gzip(head.headers) else NO_LIMIT
        if info.verb == "get":
            key = served.registry.key(info.namespace, info.name)
            head.memo = Memo(
                request, self._rbac(), self._core.serving.version, key, "", b"", _flow(request), series, most
            )
        elif info.verb == "list" and "limit" not in request.query:
            prefix = served.registry.prefix_of(info.namespace)
            start, version = _list_head(served), self._core.serving.version
            head.memo = Memo(request, self._rbac(), version, "", prefix, start, _flow(request), series, most)

    def answer(self, memo: Memo, date: bytes) -> bytes | tuple[bytes, bytes, bytes] | None:
        """The whole answer, of a list its parts; None when it must be worked out."""
        if self._app.faults is not None and self._app.faults.active(API):
            return None
        if memo.rbac != self._rbac() or memo.served != self._core.serving.version:
            return None
        try:
            self._core.authenticator.authenticate(memo.request)
        except StatusError:
            return None
        if memo.key:
            entry = self._storage.get(memo.key)
            if entry is None or len(entry.data) >= memo.bytes_max:
                return None
            data = entry.data
            memo.series.instant += 1
            return b"%b%b\n" % (_HEAD % (date, memo.flow, len(data) + 1), data)
        items = self._core.bodies.known(memo.prefix)
        if items is None or len(items) >= memo.bytes_max:
            return None
        memo.series.instant += 1
        start = b'%b"%d"},"items":[' % (memo.head, self._storage.revision)
        size = len(start) + len(items) + len(_LIST_END)
        return _HEAD % (date, memo.flow, size) + start, items, _LIST_END

    def _rbac(self) -> tuple[int, ...]:
        return self._core.authorizer.version()


def _flow(request: Request) -> bytes:
    flow = request.flow
    if flow is None:
        return b""
    names = (("Flowschema", flow.schema_uid), ("Prioritylevel", flow.level.uid))
    return "".join(f"X-Kubernetes-Pf-{name}-Uid: {uid}\r\n" for name, uid in names).encode()


def _list_head(served: Served) -> bytes:
    resource = served.resource
    return (
        f'{{"kind":"{served.list_kind}","apiVersion":"{resource.api_version}","metadata":{{"resourceVersion":'.encode()
    )
