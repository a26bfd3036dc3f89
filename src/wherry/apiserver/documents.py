"""Paths that name no resource: discovery, OpenAPI, version, health, metrics, OpenID."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping

from wherry.api.errors import method_not_allowed, path_not_found
from wherry.api.types import Obj
from wherry.apiserver.auth.tokens import ServiceAccountTokens
from wherry.apiserver.discovery import Discovery, aggregated_media_type, aggregated_version
from wherry.apiserver.filters.request_info import RequestInfo
from wherry.apiserver.health import NOT_FOUND, Health
from wherry.apiserver.http import Request, Response
from wherry.apiserver.metrics import MEDIA_TYPE, Metrics
from wherry.apiserver.negotiation import PLAIN, encode, negotiate
from wherry.apiserver.openapi import OpenAPI, has
from wherry.apiserver.respond import write
from wherry.apiserver.serving import Serving

_HEALTH = ("/healthz", "/livez", "/readyz")
_READING = ("GET", "HEAD")


class Documents:
    """Everything the server says about itself; encoded once per form until what is served changes."""

    def __init__(
        self, serving: Serving, health: Health, metrics: Metrics, tokens: ServiceAccountTokens, server_address: str
    ) -> None:
        self._serving = serving
        self._health = health
        self._metrics = metrics
        self._tokens = tokens
        self._address = server_address
        self._openapi = OpenAPI(serving)
        self._renew()

    def _renew(self) -> None:
        """What is served has changed: discovery is written anew."""
        self._version = self._serving.version
        self._discovery = Discovery(self._serving, stale=self._serving.stale(), stored=self._serving.stored())
        self._encoded: dict[tuple[str, ...], Response] = {}

    def answer(self, request: Request, info: RequestInfo) -> Response:
        """Raises 404 and 405 as a Status; a path nobody has is the text page."""
        path = "/" + info.path.strip("/") if not info.path.startswith("//") else info.path
        root = path.split("/", 2)[1] if path != "/" else ""
        if root in ("healthz", "livez", "readyz"):
            return self._health.answer(request, path)
        if root in ("api", "apis"):
            return self._discover(request, path)
        if root == "openapi":
            return self._openapi_document(request, path)
        if path in ("/version", "/metrics", "/.well-known/openid-configuration", "/openid/v1/jwks", "/"):
            return self._small(request, path)
        return NOT_FOUND

    def _small(self, request: Request, path: str) -> Response:
        if request.method not in _READING:
            raise method_not_allowed(request.method)
        if path == "/metrics":
            return Response(200, None, self._metrics.text(), MEDIA_TYPE)
        if path == "/version":
            obj = version_info(self._serving.scheme.version)
        elif path == "/":
            obj = {"paths": self._paths()}
        elif path == "/openid/v1/jwks":
            obj = self._tokens.jwks()
            return Response(200, obj, encode(obj, PLAIN), "application/jwk-set+json")
        else:
            obj = self._tokens.discovery(f"https://{self._address}")
        wanted = negotiate(request.headers, request.query)
        return Response(200, obj, encode(obj, wanted), wanted.media)

    def _discover(self, request: Request, path: str) -> Response:
        if self._version != self._serving.version:
            self._renew()
        aggregated = aggregated_version(request.headers.get("accept", "")) if path in ("/api", "/apis") else None
        if aggregated is not None:
            key = (path, aggregated)
            known = self._encoded.get(key)
            if known is None:
                obj = self._discovery.document(path, aggregated, self._address)
                data = encode(obj, PLAIN)
                headers = {"ETag": f'"{hashlib.sha512(data).hexdigest().upper()}"', "Vary": "Accept"}
                known = Response(200, obj, data, aggregated_media_type(aggregated), headers)
                self._encoded[key] = known
            if has(request.headers.get("if-none-match", ""), known.headers["ETag"]):
                return Response(304, None, b"", "", known.headers)
            return known
        obj = self._discovery.document(path, None, self._address)
        if obj is None:
            return self._nothing(path)
        return write(obj, negotiate(request.headers, request.query))

    def _nothing(self, path: str) -> Response:
        """An unknown version of a known group is a Status, an unknown group the text page."""
        parts = path.strip("/").split("/")
        if parts[0] == "api" or self._discovery.group(parts[1]) is not None:
            raise path_not_found()
        return NOT_FOUND

    def _openapi_document(self, request: Request, path: str) -> Response:
        found = self._openapi.document(
            path, request.headers.get("accept", ""), request.headers.get("if-none-match", "")
        )
        if found is None:
            return Response(404, None, b"", "") if path.startswith("/openapi/v3/") else NOT_FOUND
        return found

    def _paths(self) -> list[str]:
        groups = [group for group in self._serving.groups() if group.name]
        paths = ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis"]
        for group in groups:
            paths.append(f"/apis/{group.name}")
            paths += [f"/apis/{group.name}/{version}" for version in group.versions]
        paths += [*_HEALTH, "/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/version"]
        return sorted(paths)


def version_info(version: str) -> Obj:
    """What /version says: `version` is "1.36"; the build metadata tells what it really is."""
    major, minor = version.split(".")
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": f"v{version}.0+wherry",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation(),
        "platform": f"linux/{_ARCHITECTURES.get(platform.machine(), platform.machine())}",
    }


_ARCHITECTURES: Mapping[str, str] = {"x86_64": "amd64", "aarch64": "arm64"}
