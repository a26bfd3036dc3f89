"""What a custom resource's schema looks like in OpenAPI documents.

OpenAPI 2 cannot say all of it: alternatives, nulls and values of two types are left out there, as Kubernetes does.
"""

from __future__ import annotations

from typing import Final

from wherry.api.scheme import Resource
from wherry.api.types import Obj
from wherry.apiserver.extensions.structural import EMBEDDED, INT_OR_STRING, PRESERVE
from wherry.apiserver.openapi_schemas import V2

_OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_LIST_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
_CONVENTIONS: Final = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_API_VERSION: Final = f"The version of the API this object is written in. More info: {_CONVENTIONS}#resources"
_KIND: Final = f"What this object is. More info: {_CONVENTIONS}#types-kinds"
_NOT_IN_V2: Final = frozenset({"anyOf", "oneOf", "allOf", "not", "nullable", "default", "example", "externalDocs"})


def definitions(resource: Resource, version: Obj, prefix: str) -> dict[str, Obj]:
    """The schemas of the kind and of its list."""
    gvk = [{"group": resource.group, "version": resource.version, "kind": resource.kind}]
    props = (version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object", PRESERVE: True}
    schema = _styled(props, prefix)
    fields = dict(schema.get("properties") or {})
    head: Obj = {
        "apiVersion": {"description": _API_VERSION, "type": "string"},
        "kind": {"description": _KIND, "type": "string"},
        "metadata": _reference(_OBJECT_META, prefix, "Standard object's metadata."),
    }
    if schema.get("properties") or not props.get(PRESERVE):
        schema["properties"] = {**head, **{name: each for name, each in fields.items() if name not in head}}
    schema["x-kubernetes-group-version-kind"] = gvk
    name = resource.definition
    items = {"type": "array", "description": "The objects.", "items": {"$ref": prefix + name}}
    listed: Obj = {
        "description": f"{resource.kind}List is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {**head, "metadata": _reference(_LIST_META, prefix, "Standard list metadata."), "items": items},
        "x-kubernetes-group-version-kind": [{**gvk[0], "kind": f"{resource.kind}List"}],
    }
    return {name: schema, f"{name}List": listed}


def _reference(name: str, prefix: str, text: str) -> Obj:
    if prefix == V2:
        return {"$ref": prefix + name, "description": text}
    return {"allOf": [{"$ref": prefix + name}], "description": text}


def _styled(props: Obj, prefix: str) -> Obj:
    """A schema as a document of this version says it; the result is private."""
    v2 = prefix == V2
    result: Obj = {key: value for key, value in props.items() if not (v2 and key in _NOT_IN_V2)}
    if v2 and (props.get(INT_OR_STRING) or props.get("nullable") or (props.get(PRESERVE) and not props.get(EMBEDDED))):
        for key in ("type", "items", "properties", "additionalProperties", "required"):
            result.pop(key, None)
        return result
    if isinstance(result.get("properties"), dict):
        result["properties"] = {name: _styled(each, prefix) for name, each in result["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(result.get(key), dict):
            result[key] = _styled(result[key], prefix)
    if props.get(EMBEDDED):
        head = {
            "apiVersion": {"description": _API_VERSION, "type": "string"},
            "kind": {"description": _KIND, "type": "string"},
            "metadata": _reference(_OBJECT_META, prefix, "Standard object's metadata."),
        }
        result["properties"] = {**(result.get("properties") or {}), **head}
    return result
