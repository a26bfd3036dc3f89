"""clientConfig: where a webhook is reached. The same rules for admission webhooks and for conversion webhooks.

Not here: whether it answers, which nobody knows before the first call.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f

DEFAULT_PORT = 443
_FORM = "; desired format: https://host[/path]"
_PORT = re.compile(r":(?!\d*$)[^:\]]*$")
"""What follows the last colon of a host and is no number (Go's net/url; too large a number is found by who connects)."""


def default_port(config: Obj) -> None:
    """A Service is asked at 443 unless somebody says otherwise; in place."""
    service = config.get("service")
    if service is not None and service.get("port") is None:
        service["port"] = DEFAULT_PORT


def client_config(config: Obj, path: str) -> list[Cause]:
    """Exactly one of url and service, and that one well formed."""
    link, target = config.get("url"), config.get("service")
    if link is not None and target is None:
        return url(link, f"{path}.url")
    if target is not None and link is None:
        return service(target, f"{path}.service")
    return [f.required(path, "exactly one of url or service is required")]


def url(text: str, path: str) -> list[Cause]:
    try:
        parts = urlsplit(text)
        user, at, host = parts.netloc.rpartition("@")
    except ValueError as error:
        return [f.required(path, f"url must be a valid URL: {error}{_FORM}")]
    if odd := _PORT.search(host):
        said = f'parse "{text}": invalid port "{odd[0]}" after host'
        return [f.required(path, f"url must be a valid URL: {said}{_FORM}")]
    causes: list[Cause] = []
    if parts.scheme != "https":
        causes.append(f.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_FORM}"))
    if not host:
        causes.append(f.invalid(path, "", f"host must be specified{_FORM}"))
    if at:
        causes.append(f.invalid(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        causes.append(f.invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        causes.append(f.invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return causes


def service(target: Obj, path: str) -> list[Cause]:
    causes = [f.required(f"{path}.{key}") for key in ("name", "namespace") if not target.get(key)]
    port: Any = target.get("port", DEFAULT_PORT)
    if not 1 <= port <= 65535:
        causes.append(f.invalid(f"{path}.port", port, f"port is not valid: {f.PORT_RANGE}"))
    return causes + _path(target.get("path") or "/", f"{path}.path")


def _path(text: str, path: str) -> list[Cause]:
    """Segments are DNS-1123 subdomains; one slash at the end is fine."""
    if text == "/":
        return []
    if text == "//":
        return [f.invalid(path, text, "segment[0] may not be empty")]
    causes = [] if text.startswith("/") else [f.invalid(path, text, "must start with a '/'")]
    for i, segment in enumerate(text[1:].removesuffix("/").split("/")):
        if not segment:
            causes.append(f.invalid(path, text, f"segment[{i}] may not be empty"))
            continue
        causes += [f.invalid(path, text, f"segment[{i}]: {problem}") for problem in names.dns1123_subdomain(segment)]
    return causes
