"""The objects a binding gives its policy as `params`."""

from __future__ import annotations

from wherry.api.labels import Selector
from wherry.api.scheme import Resource
from wherry.api.types import Obj
from wherry.apiserver.admission.request import AdmissionRequest, World


class Misconfigured(Exception):
    """No params can be found; the policy's failurePolicy says what that means."""


def find(world: World, request: AdmissionRequest, kind: Obj | None, ref: Obj | None) -> list[Obj | None]:
    """Each is judged by itself; [None] when there are none to be found, [] when missing ones are allowed to be missing.

    Raises Misconfigured.
    """
    if kind is None or ref is None:
        return [None]
    resource = _resource(world, kind)
    namespace = _namespace(resource, ref, request)
    if ref.get("name"):
        found = request.context.read.get(resource.gvr, ref["name"], namespace)
        params = [] if found is None else [found]
    else:
        selector = Selector.from_object(ref.get("selector") or {})
        listed = request.context.read.list(resource.gvr, namespace)
        params = [each for each in listed if selector.matches(each["metadata"].get("labels"))]
    if not params and ref.get("parameterNotFoundAction") == "Deny":
        raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    return list(params)


def _resource(world: World, kind: Obj) -> Resource:
    api_version, name = kind.get("apiVersion"), kind.get("kind")
    for served in world.served.values():
        if served.resource.kind == name and served.resource.api_version == api_version:
            return served.resource
    raise Misconfigured(f"paramKind kind `{api_version}, Kind={name}` not known")


def _namespace(resource: Resource, ref: Obj, request: AdmissionRequest) -> str | None:
    wanted: str = ref.get("namespace") or ""
    if not resource.namespaced:
        if wanted:
            raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        return None
    namespace = wanted or request.namespace
    if not namespace:
        raise Misconfigured("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
    return namespace
