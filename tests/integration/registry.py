"""A small registry on loopback: the pull half of the OCI distribution specification, with the ways it can go wrong."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Registry:
    """`auth` is `none`, `basic` or `bearer`; the login is `user` with `secret`. Requests are counted by path."""

    auth: str = "none"
    anonymous: bool = False
    """The token service also serves who has no login."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """By `repository:tag` and `repository@digest`: media type and content."""
    requests: Counter[str] = field(default_factory=Counter)
    authorizations: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    """Digests of blobs that come with other content."""
    cut: set[str] = field(default_factory=set)
    """Digests of blobs whose connection breaks in the middle."""
    redirect: str = ""
    """Where blobs are really served, as with object stores: `http://HOST:PORT`."""
    host: str = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/token", self._token)
        app.router.add_post("/token", self._token)
        app.router.add_get("/v2/{repository:.+}/manifests/{reference}", self._manifest)
        app.router.add_get("/v2/{repository:.+}/blobs/{digest}", self._blob)
        app.router.add_get("/moved/{digest}", self._moved)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.host = f"127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    def put_blob(self, data: bytes) -> dict[str, Any]:
        self.blobs[digest_of(data)] = data
        return {"digest": digest_of(data), "size": len(data)}

    def put_manifest(self, repository: str, tag: str, content: Any, media_type: str) -> dict[str, Any]:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        for reference in (f"{repository}:{tag}", f"{repository}@{digest_of(data)}"):
            self.manifests[reference] = (media_type, data)
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    def _refused(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "")
        self.authorizations.append(given)
        self.requests[request.path] += 1
        if self.auth == "none" or given == {"basic": _basic(), "bearer": "Bearer good"}[self.auth]:
            return None
        challenge = 'Basic realm="test"'
        if self.auth == "bearer":
            scope = f"repository:{request.match_info['repository']}:pull"
            challenge = f'Bearer realm="http://{self.host}/token",service="test",scope="{scope}"'
        return web.json_response(
            {"errors": [{"code": "UNAUTHORIZED", "message": "who?"}]},
            status=401,
            headers={"WWW-Authenticate": challenge},
        )

    async def _token(self, request: web.Request) -> web.Response:
        self.requests["/token"] += 1
        fields: Any = request.query if request.method == "GET" else await request.post()
        assert fields["service"] == "test"
        assert fields["scope"].startswith("repository:")
        known = request.headers.get("Authorization") == _basic() or fields.get("refresh_token") == "identity"
        if known or self.anonymous:
            return web.json_response({"access_token" if request.method == "POST" else "token": "good"})
        return web.json_response({}, status=401)

    async def _manifest(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        repository, reference = request.match_info["repository"], request.match_info["reference"]
        found = self.manifests.get(f"{repository}{'@' if ':' in reference else ':'}{reference}")
        if found is None:
            return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "unknown"}]}, status=404)
        return web.Response(body=found[1], headers={"Content-Type": found[0]})

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        if (refused := self._refused(request)) is not None:
            return refused
        digest = request.match_info["digest"]
        if self.redirect:
            raise web.HTTPTemporaryRedirect(f"{self.redirect}/moved/{digest}")
        return await self._content(request, digest)

    async def _moved(self, request: web.Request) -> web.StreamResponse:
        self.authorizations.append(request.headers.get("Authorization", ""))
        return await self._content(request, request.match_info["digest"])

    async def _content(self, request: web.Request, digest: str) -> web.StreamResponse:
        data = self.blobs.get(digest)
        if data is None:
            return web.json_response({"errors": [{"code": "BLOB_UNKNOWN", "message": "gone"}]}, status=404)
        if digest in self.broken:
            data = bytes(len(data))
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        if digest in self.cut:
            await response.write(data[: len(data) // 2])
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write(data)
        await response.write_eof()
        return response


def _basic() -> str:
    return "Basic " + base64.b64encode(b"user:secret").decode()
