"""Which handler answers: (verb, resource, subresource) to a function, or the 404 and 405 Kubernetes gives.

Paths: an unknown group is a plain-text 404 (nothing is registered there), an unknown version or resource of a known group
a Status. 405 is for a path that exists with another method.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from wherry.api.errors import StatusError, method_not_allowed, not_found, path_not_found
from wherry.api.scheme import Resource
from wherry.api.types import GVR
from wherry.apiserver import kubelet_proxy
from wherry.apiserver.core import Call, Core
from wherry.apiserver.filters.request_info import RequestInfo
from wherry.apiserver.handlers import (
    connecting,
    create,
    delete,
    eviction,
    get,
    list,
    patch,
    pod_binding,
    proxy,
    scale,
    token_request,
    update,
    watch,
)
from wherry.apiserver.http import Answer
from wherry.apiserver.serving import Serving

Verb = Callable[[Core, Call], Awaitable[Answer]]

_MAIN: Mapping[str, Verb] = {
    "get": get.handle,
    "list": list.handle,
    "watch": watch.handle,
    "create": create.handle,
    "update": update.handle,
    "patch": patch.handle,
    "delete": delete.handle,
    "deletecollection": delete.handle_collection,
}
_PART: Mapping[str, Verb] = {"get": get.handle, "update": update.handle, "patch": patch.handle}
_CONNECT = dict.fromkeys(("get", "create"), connecting.admitted(kubelet_proxy.connect))
_PROXY = dict.fromkeys(("get", "create", "update", "patch", "delete", "options"), connecting.admitted(proxy.handle))
_SUBRESOURCES: Mapping[str, Mapping[str, Verb]] = {
    "status": _PART,
    "finalize": _PART,
    "approval": _PART,
    "ephemeralcontainers": _PART,
    "resize": _PART,
    "scale": {"get": scale.get, "update": scale.update, "patch": scale.patch},
    "binding": {"create": pod_binding.handle},
    "eviction": {"create": eviction.handle},
    "token": {"create": token_request.handle},
    "log": {"get": kubelet_proxy.log},
    "exec": _CONNECT,
    "attach": _CONNECT,
    "portforward": _CONNECT,
    "proxy": _PROXY,
}
_ON_COLLECTION = frozenset({"list", "watch", "create", "deletecollection"})
_ON_NAME = frozenset({"get", "watch", "update", "patch", "delete"})


_WITHOUT_DEFINITIONS = frozenset({"metrics.k8s.io"})
"""Groups of our own that no published definition tells of."""


class UnknownGroup(Exception):
    """Nothing is served under this group: the text page, not a Status."""


def find_resource(serving: Serving, info: RequestInfo, method: str) -> Resource:
    """The resource of a path, its verb checked. Raises UnknownGroup, 404, 405."""
    resource = serving.resources.get(GVR(info.group, info.version, info.resource))
    custom = resource is not None and resource.gvr not in serving.scheme.resources
    if resource is None:
        if info.group and serving.scheme.group(info.group) is None and info.group not in _WITHOUT_DEFINITIONS:
            raise UnknownGroup  # also where custom resources are: their server knows no path it does not serve
        raise path_not_found()
    if custom and _scopes_differ(resource, info):
        raise UnknownGroup
    if not resource.namespaced and info.namespace and info.resource != "namespaces":
        raise path_not_found()
    if resource.namespaced and not info.namespace and info.name:
        raise path_not_found()
    try:
        if info.subresource:
            _check_subresource(resource, info, method)
        else:
            _check_verb(resource, info, method)
    except StatusError as error:
        raise (
            _customary(resource, info, error) if custom and resource.group not in _WITHOUT_DEFINITIONS else error
        ) from None
    return resource


def _scopes_differ(resource: Resource, info: RequestInfo) -> bool:
    if resource.namespaced:
        return not info.namespace and info.verb not in ("list", "watch")
    return bool(info.namespace)


def _customary(resource: Resource, info: RequestInfo, error: StatusError) -> StatusError:
    """What the server of custom resources says instead."""
    if error.code == 404:
        return not_found(resource.resource, info.name, resource.group)
    message = f'{info.verb} is not supported on resources of kind "{resource.resource}.{resource.group}"'
    return StatusError(405, "MethodNotAllowed", message, {"group": resource.group, "kind": resource.resource})


def _check_verb(resource: Resource, info: RequestInfo, method: str) -> None:
    allowed = _ON_NAME if info.name else _ON_COLLECTION
    served = [verb for verb in resource.verbs if verb in allowed]
    if not served:
        # Nothing answers at this path: with a name that is 404, without one it cannot happen.
        raise path_not_found()
    if method == "HEAD" or info.verb not in served:
        raise method_not_allowed(method)
    if resource.namespaced and not info.namespace and info.verb not in ("list", "watch"):
        raise method_not_allowed(method)


def _check_subresource(resource: Resource, info: RequestInfo, method: str) -> None:
    sub = resource.subresource(info.subresource)
    if sub is None or (info.rest and info.subresource != "proxy"):
        raise path_not_found()
    if info.subresource == "proxy" and info.verb in _PROXY:
        return  # HEAD and OPTIONS too: they are the backend's business
    if method == "HEAD" or info.verb not in sub.verbs:
        raise method_not_allowed(method)


def find_handler(info: RequestInfo) -> Verb:
    """The function for a path that `find_resource` accepted."""
    table = _SUBRESOURCES.get(info.subresource, {}) if info.subresource else _MAIN
    handler = table.get(info.verb)
    if handler is None:
        raise StatusError(
            501, "NotImplemented", f"{info.verb} of {info.resource}/{info.subresource} is not supported yet"
        )
    return handler
