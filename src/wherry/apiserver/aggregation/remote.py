"""One server behind an APIService: asked how it is and what it has, and given the requests that are its own.

Who asks is told in headers (X-Remote-User and its companions), which the server believes because of the certificate we
show: Kubernetes' authenticating proxy. Always true: whatever the caller put into such headers does not pass.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from wherry.api import json
from wherry.api.errors import StatusError
from wherry.api.scheme import Resource, Subresource
from wherry.api.types import Obj
from wherry.apiserver.auth.user import AUTHENTICATED, MASTERS, User
from wherry.apiserver.filters.request_info import RequestInfo
from wherry.apiserver.http import Answer, Passed, Request, Response, Stream
from wherry.apiserver.negotiation import TEXT
from wherry.apiserver.outward import OutwardError, Target
from wherry.apiserver.outward_client import OutwardClient
from wherry.apiserver.proxying import Backing, forward
from wherry.apiserver.trust import Identity

PROBE_SECONDS = 5.0
"""As long as Kubernetes' aggregator waits."""
DOCUMENT_SECONDS = 10.0
OURSELVES = User("system:kube-aggregator", (MASTERS, AUTHENTICATED))
_REMOTE = frozenset({"x-remote-user", "x-remote-uid", "x-remote-group"})


class Remote(Struct):
    """The server of one group and version. `problem` is why it cannot be asked, "" when it can."""

    group: str
    version: str
    target: Target
    connections: OutwardClient
    identity: Identity | None
    problem: str = "not asked yet"

    @property
    def path(self) -> str:
        return f"/apis/{self.group}/{self.version}"

    async def probe(self) -> tuple[str, tuple[Resource, ...]]:
        """(why its discovery cannot be had, what it has)."""
        url = self.target.base + self.path
        try:
            reply = await self._get(self.path, PROBE_SECONDS)
        except OutwardError as error:
            return str(error), ()
        if not 200 <= reply[0] < 300:
            return f"bad status from {url}: {reply[0]}", ()
        try:
            return "", resources_of(self.group, self.version, json.decode(reply[1]))
        except (ValueError, TypeError, KeyError, AttributeError):
            return "", ()  # it answers; what it has, nobody can tell

    async def openapi(self) -> Mapping[str, bytes]:
        """Its OpenAPI 3 document, by our name for it; nothing when it has none."""
        try:
            status, body = await self._get(f"/openapi/v3{self.path}", DOCUMENT_SECONDS)
        except OutwardError:
            return {}
        return {self.path[1:]: body} if status == 200 and body.startswith(b"{") else {}

    async def swagger(self) -> bytes:
        """Its OpenAPI 2 document; nothing when it has none."""
        try:
            status, body = await self._get("/openapi/v2", DOCUMENT_SECONDS)
        except OutwardError:
            return b""
        return body if status == 200 and body.startswith(b"{") else b""

    async def _get(self, path: str, seconds: float) -> tuple[int, bytes]:
        headers = dict(identity_headers(OURSELVES)) | {"Accept": "application/json"}
        reply = await self.connections.request(self.target, "GET", path, headers, b"", seconds, self.identity)
        return reply.status, reply.body

    async def answer(self, request: Request, info: RequestInfo, user: User) -> Answer:
        """`serving.Forward`: pass a request on, after authentication and authorization."""
        if self.problem:
            return refused(request, "service unavailable")
        try:
            place, host = self.connections.place(self.target, self.identity)
        except StatusError:
            return refused(request, "service unavailable")
        without = frozenset(name for name in request.headers if name.startswith("x-remote-extra-")) | _REMOTE
        backing = Backing(place, host, request.path, "", tuple(identity_headers(user)), without)
        if request.in_process:
            return await self._in_process(request, backing)
        try:
            return await forward(self.connections, request, backing)
        except StatusError as error:
            return refused(request, error.message)

    async def _in_process(self, request: Request, backing: Backing) -> Answer:
        """For controllers of this process: objects instead of bytes. Raises StatusError."""
        body = b"" if request.draft is None else json.encode(request.draft)
        asked = Request(
            request.method,
            request.path,
            request.query,
            {**request.headers, "accept": "application/json"},
            body,
            request.query_string,
        )
        answer = await forward(self.connections, asked, backing)
        assert isinstance(answer, Passed)
        if request.query.get("watch") and answer.status == 200:
            return Stream(_lines(answer))
        data = b"".join([piece async for piece in answer.items])
        obj = _decoded(data)
        if answer.status >= 400:
            if isinstance(obj, dict) and obj.get("kind") == "Status":
                raise StatusError.from_status(obj)
            raise StatusError(answer.status, "ServiceUnavailable", data.decode(errors="replace")[:1024])
        return Response(answer.status, obj)


async def _lines(answer: Passed) -> AsyncGenerator[Any, None]:
    """Watch events, one per line."""
    rest = b""
    try:
        async for piece in answer.items:
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                if line.strip():
                    yield _decoded(line)
    finally:
        await answer.items.aclose()


def _decoded(data: bytes) -> Any:
    try:
        return json.decode(data)
    except ValueError:
        return None


def refused(request: Request, text: str) -> Response:
    """503 in plain text, as Kubernetes' aggregator answers. Raises StatusError in process."""
    if request.in_process:
        raise StatusError(503, "ServiceUnavailable", text)
    return Response(503, None, f"{text}\n".encode(), TEXT, {"X-Content-Type-Options": "nosniff"})


def identity_headers(user: User) -> list[tuple[str, str]]:
    """Who asks, for a server that trusts our certificate."""
    fields = [("X-Remote-User", _latin(user.name))]
    if user.uid:
        fields.append(("X-Remote-Uid", _latin(user.uid)))
    fields += [("X-Remote-Group", _latin(group)) for group in user.groups]
    for key, values in user.extra.items():
        fields += [(f"X-Remote-Extra-{quote(key, safe='')}", _latin(value)) for value in values]
    return fields


def _latin(text: str) -> str:
    """A header's value: UTF-8 bytes, as Go writes them, seen as latin-1; no line ends."""
    return text.replace("\r", " ").replace("\n", " ").encode().decode("latin-1")


def resources_of(group: str, version: str, document: Obj) -> tuple[Resource, ...]:
    """An APIResourceList as resources. Raises KeyError, TypeError for what is none."""
    found: dict[str, Resource] = {}
    parts: dict[str, list[Subresource]] = {}
    for entry in document["resources"] or []:
        name, _, sub = entry["name"].partition("/")
        of = (entry.get("group") or group, entry.get("version") or version, entry["kind"])
        if sub:
            parts.setdefault(name, []).append(Subresource(sub, *of, tuple(entry["verbs"])))
            continue
        found[name] = Resource(
            group,
            version,
            name,
            entry.get("singularName") or "",
            entry["kind"],
            bool(entry["namespaced"]),
            tuple(entry["verbs"]),
            tuple(entry.get("shortNames") or ()),
            tuple(entry.get("categories") or ()),
        )
    return tuple(replace(resource, subresources=tuple(parts.get(name, ()))) for name, resource in found.items())
