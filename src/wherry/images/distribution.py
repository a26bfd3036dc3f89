"""One repository of a registry, over the pull half of the OCI distribution specification.

Nothing is believed: what comes is checked against its digest by whoever stores it. HTTPS always, but for registries on
this machine (`localhost`, 127.0.0.0/8, `[::1]`) and those it calls insecure: HTTP, and no proxy. For the others the
environment's proxies are used.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from types import TracebackType
from typing import Any

import aiohttp

from wherry.images.credentials import Credentials
from wherry.images.reference import Reference

INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
MANIFEST_BYTES_MAX = 4 << 20  # what the specification asks registries to accept
CONNECT_SECONDS = 15.0
SILENCE_SECONDS = 60.0  # without a byte; the whole may take as long as it takes
CHUNK = 1 << 20
_CHALLENGE = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class RegistryFailure(Exception):
    """The registry did not give what was asked for; the text names the host and why. `status` is HTTP's, 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@cache
def _trusted() -> ssl.SSLContext:
    """Whom this machine trusts; read when the first registry is asked. aiohttp's own is never used: a node agent has none."""
    return ssl.create_default_context()


class Repository:
    """`async with`; `credentials` are sent to the registry and to the token service it names, to nobody else."""

    def __init__(self, reference: Reference, credentials: Credentials, *, insecure: bool = False) -> None:
        self.host, self.path = reference.host, reference.path
        self._plain = insecure or is_loopback(reference.host)
        self._credentials = credentials
        self._authorization = ""
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Repository:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        # Without trust_env for our own machine: a proxy there would look for its own localhost.
        connector = aiohttp.TCPConnector(ssl=_trusted())
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, trust_env=not self._plain, auto_decompress=False
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def manifest(self, reference: str) -> tuple[bytes, str]:
        """Content and media type of a manifest or index by tag or digest. Raises RegistryFailure."""
        accept = ", ".join((*INDEXES, *MANIFESTS))
        async with self._get(f"manifests/{reference}", accept) as response:
            data = await response.content.read(MANIFEST_BYTES_MAX + 1)
            while not response.content.at_eof() and len(data) <= MANIFEST_BYTES_MAX:
                data += await response.content.read(MANIFEST_BYTES_MAX + 1 - len(data))
            if len(data) > MANIFEST_BYTES_MAX:
                raise RegistryFailure(f"{self.host}: the manifest of {self.path} is larger than 4 MiB")
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            named = response.headers.get("Docker-Content-Digest", digest)
            expected = reference if reference.startswith("sha256:") else named
            if expected.startswith("sha256:") and expected != digest:
                raise RegistryFailure(
                    f"{self.host}: expected a manifest with digest {expected}, what came has {digest}"
                )
            return data, response.content_type

    @asynccontextmanager
    async def blob(self, digest: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """A blob in chunks of at most CHUNK, unchecked. Raises RegistryFailure, also while it is read."""
        async with self._get(f"blobs/{digest}", "*/*") as response:
            yield self._chunks(response)

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for data in response.content.iter_chunked(CHUNK):
                yield data
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RegistryFailure(f"{self.host}: the connection broke while a layer came: {_why(error)}") from error

    @asynccontextmanager
    async def _get(self, path: str, accept: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer with status 200; once more with authorization when the registry asks for it."""
        url = f"{'http' if self._plain else 'https'}://{self.host}/v2/{self.path}/{path}"
        response = await self._request(url, accept)
        try:
            if response.status == 401:
                challenge = response.headers.get("WWW-Authenticate", "")
                response.release()
                self._authorization = await self._authorize(challenge)
                response = await self._request(url, accept)
            if response.status != 200:
                raise await self._refusal(response, path)
            yield response
        finally:
            response.release()

    async def _request(self, url: str, accept: str) -> aiohttp.ClientResponse:
        assert self._session is not None, "used with `async with`"
        headers = {"Accept": accept}
        if self._authorization:
            headers["Authorization"] = self._authorization
        try:
            return await self._session.get(url, headers=headers)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RegistryFailure(f"{self.host} cannot be reached: {_why(error)}") from error

    async def _authorize(self, challenge: str) -> str:
        """The Authorization header a challenge asks for (distribution specification's token authentication, RFC 7617)."""
        scheme, _, rest = challenge.partition(" ")
        parameters = dict(_CHALLENGE.findall(rest))
        if scheme.lower() == "basic" and self._credentials.username:
            return self._credentials.basic
        if scheme.lower() == "bearer" and parameters.get("realm"):
            return "Bearer " + await self._token(parameters)
        raise RegistryFailure(self._denied("asks for a login"), 401)

    async def _token(self, parameters: dict[str, str]) -> str:
        assert self._session is not None
        realm, fields = parameters["realm"], {"scope": parameters.get("scope") or f"repository:{self.path}:pull"}
        if parameters.get("service"):
            fields["service"] = parameters["service"]
        if not realm.startswith("https://") and not (self._plain and realm.startswith("http://")):
            raise RegistryFailure(f"{self.host} names the token service {realm}: not HTTPS, nothing was sent there")
        try:
            if self._credentials.identity:
                form = {"grant_type": "refresh_token", "refresh_token": self._credentials.identity, **fields}
                request = self._session.post(realm, data={**form, "client_id": "wherry"})
            else:
                headers = {"Authorization": self._credentials.basic} if self._credentials else {}
                request = self._session.get(realm, params=fields, headers=headers)
            async with request as response:
                if response.status in (401, 403):
                    raise RegistryFailure(self._denied("refused the login"), response.status)
                found = await response.json(content_type=None) if response.status == 200 else {}
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise RegistryFailure(f"token service {realm} of {self.host}: {_why(error)}") from error
        token = found.get("token") or found.get("access_token") if isinstance(found, dict) else None
        if not token:
            raise RegistryFailure(f"token service {realm} of {self.host} gave no token (status {response.status})")
        return str(token)

    async def _refusal(self, response: aiohttp.ClientResponse, path: str) -> RegistryFailure:
        if response.status in (401, 403):
            return RegistryFailure(self._denied("does not let us read it"), response.status)
        what, _, which = path.partition("/")
        if response.status == 404:
            return RegistryFailure(f"{self.host} has no {self.path} {which}: not found", 404)
        if response.status == 429:
            return RegistryFailure(f"{self.host}: too many requests; log in, or try again later", 429)
        text = _message(await response.content.read(64 * 1024))
        return RegistryFailure(f"{self.host} answered {response.status} for {what}/{which}{text}", response.status)

    def _denied(self, what: str) -> str:
        who = f"as {self._credentials.username or 'the stored identity'}" if self._credentials else "without a login"
        return (
            f"{self.host} {what} for {self.path} ({who}): pull access denied, repository does not exist or may require "
            "authorization: name an imagePullSecret, or log in so that ~/.docker/config.json knows the registry"
        )


def is_loopback(host: str) -> bool:
    """Whether a registry `HOST[:PORT]` is on this machine."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    try:
        return name == "localhost" or ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _message(body: bytes) -> str:
    """`: MESSAGE` of the specification's error format, if that is what came."""

    try:
        found: Any = json.loads(body)
        return f": {found['errors'][0]['message']}"
    except (ValueError, LookupError, TypeError):
        return ""


def _why(error: BaseException) -> str:
    """The reason without the words of the library."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return f"its certificate is not trusted here ({error})"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"its name does not resolve ({error.os_error.strerror or error.os_error})"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
