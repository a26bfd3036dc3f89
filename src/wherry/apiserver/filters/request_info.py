"""What a request is about: path and method -> group, version, resource, namespace, name, subresource, verb.

Rules of Kubernetes' API conventions ("Verbs on Resources") as its server reads paths: the path is unescaped first and
split then, trailing slashes do not count, `?watch` with any value but `false` and `0` makes a list a watch.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote, unquote_plus

from msgspec import Struct

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


class RequestInfo(Struct, frozen=True):
    """`verb` is Kubernetes' (get, list, watch, create, update, patch, delete, deletecollection) or the lower-case method
    for paths that name no resource."""

    path: str
    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """What follows the subresource (`proxy/a/b` -> `a/b`)."""


def is_true(value: str | None) -> bool:
    """A boolean query parameter: present and neither `false` nor `0`."""
    return value is not None and value.lower() not in ("false", "0")


def parse(method: str, raw_path: str, query: Mapping[str, str]) -> RequestInfo:
    """Never fails: a path that names no resource is a non-resource request."""
    path = unquote(raw_path) if "%" in raw_path else raw_path
    parts = path.strip("/").split("/")
    method_verb = _VERBS.get(method, method.lower())
    if path.startswith("//") or len(parts) < 3:
        return RequestInfo(path, method.lower())
    if parts[0] == "api":
        group, version, parts = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(path, method.lower())
    verb = method_verb
    if parts[0] == "watch" and len(parts) > 1:
        parts, verb = parts[1:], "watch"
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    resource = parts[0]
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 else ""
    if not name and verb == "get":
        verb = "watch" if is_true(query.get("watch")) else "list"
    elif name and verb == "get" and not subresource and is_true(query.get("watch")):
        verb = "watch"
    elif not name and verb == "delete":
        verb = "deletecollection"
    return RequestInfo(path, verb, True, group, version, namespace, resource, name, subresource, "/".join(parts[3:]))


def parse_query(query_string: str) -> dict[str, str]:
    """First value of every parameter; `+` and %XX are decoded."""
    query: dict[str, str] = {}
    for pair in query_string.split("&"):
        if not pair:
            continue
        key, _, value = pair.partition("=")
        if "%" in pair or "+" in pair:
            key, value = unquote_plus(key), unquote_plus(value)
        query.setdefault(key, value)
    return query


def query_values(query_string: str, name: str) -> list[str]:
    """All values of one parameter."""
    pairs = (pair.partition("=") for pair in query_string.split("&") if pair)
    return [unquote_plus(value) for key, _, value in pairs if unquote_plus(key) == name]
