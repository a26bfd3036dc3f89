"""Calls the API server makes to others: webhooks, conversion, aggregated APIs. The contract; `outward_client.py` keeps it.

Is: where a call goes (`Target`), what came back (`Reply`), what can go wrong (`OutwardError`) in the words of Go's net/http,
because Kubernetes' answers quote them and people search for them. Always true: `str(error)` is what Go's client would
print (`Post "https://hook.shop.svc:443/check?timeout=10s": dial tcp 10.96.3.4:443: connect: connection refused`), and
`error.cause` the part after the URL.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from wherry.api.types import Obj
from wherry.client.http1 import WireError

REPLY_BYTES_MAX = 8 << 20
"""Of one answer: the largest documents asked for are OpenAPI of an aggregated API, a few MiB."""


class OutwardError(WireError):
    """A call that got no answer at all. An answer with a status of 400 or more is a Reply, not an error."""

    def __init__(self, cause: str, method: str = "", url: str = "") -> None:
        super().__init__(f'{method.capitalize()} "{url}": {cause}' if url else cause)
        self.cause = cause


class OutwardTimeout(OutwardError, TimeoutError):
    """No whole answer in time: `context deadline exceeded`."""


class Target(Struct, frozen=True):
    """Where to call: `url` (https) or the Service `name` of `namespace`. `ca_bundle` is PEM; empty: the machine's trust."""

    url: str = ""
    namespace: str = ""
    name: str = ""
    port: int = 443
    path: str = ""
    ca_bundle: bytes = b""
    insecure: bool = False
    """Take any certificate (APIService's insecureSkipTLSVerify)."""

    @staticmethod
    def of(client_config: Obj) -> Target:
        """From a clientConfig {url | service {namespace, name, path, port}, caBundle (base64)}. Validation saw it before;
        a bundle that is no base64 is taken as it is, and fails when it is used."""
        text = str(client_config.get("caBundle") or "")
        try:
            bundle = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            bundle = text.encode()
        service = client_config.get("service")
        if service:
            return Target(
                namespace=service.get("namespace", ""),
                name=service.get("name", ""),
                port=int(service.get("port") or 443),
                path=service.get("path") or "",
                ca_bundle=bundle,
            )
        return Target(url=client_config.get("url") or "", ca_bundle=bundle)

    @property
    def base(self) -> str:
        """What the path of a request is appended to: `https://hook.shop.svc:443/check`."""
        if self.url:
            return self.url
        slash = "" if not self.path or self.path.startswith("/") else "/"
        return f"https://{self.name}.{self.namespace}.svc:{self.port}{slash}{self.path}"


class Reply(Struct, frozen=True):
    """An answer, whole. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Outward(Protocol):
    async def request(
        self, target: Target, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        """One call. `path` follows the target's own (`?timeout=10s`, `/apis/g/v1`). `timeout` in seconds, for all of it.

        Raises OutwardError, OutwardTimeout.
        """
        ...
