"""From a definition to what the server serves because of it: resources, registries, tables, OpenAPI. Pure but for storage.

A definition is published in its accepted names, once it is established; every version that says `served` is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from wherry.api.schema import Schema
from wherry.api.scheme import Resource, Scheme, Subresource
from wherry.api.types import Obj
from wherry.apiserver.extensions.codec import Codec, Family
from wherry.apiserver.extensions.conversion import Converter
from wherry.apiserver.extensions.custom_resource import CustomRegistry, CustomResourceStrategy, Reader
from wherry.apiserver.extensions.openapi import definitions
from wherry.apiserver.extensions.printing import printer
from wherry.apiserver.extensions.shape import CustomSchema
from wherry.apiserver.extensions.structural import EMPTY, Node
from wherry.apiserver.serving import Published, Served
from wherry.apiserver.version_order import NEWEST_FIRST, compare
from wherry.storage.interface import Storage

VERBS: Final = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_PART: Final = ("get", "patch", "update")
_SCALE: Final = "io.k8s.api.autoscaling.v1.Scale"
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
ITEM_PREFIX: Final = b"{"
"""Items of lists of custom resources keep their kind and apiVersion, as in Kubernetes."""


def owner(name: str) -> str:
    """Under which name the definition is published."""
    return f"customresourcedefinitions/{name}"


def family(definition: Obj, converter: Converter, storage: Storage) -> Family:
    """What the versions share."""
    spec = definition["spec"]
    nodes = {each["name"]: node_of(each) for each in spec["versions"]}
    stored = next(each["name"] for each in spec["versions"] if each.get("storage"))
    prefix = f"/registry/{spec['group']}/{spec['names']['plural']}/"
    return Family(definition, stored, nodes, converter, storage, prefix)


def node_of(version: Obj) -> Node:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    return Node(schema) if schema else EMPTY


def publish(shared: Family, scheme: Scheme, terminating: bool) -> Published:
    """Everything to serve for a definition."""
    spec = shared.definition["spec"]
    served = [each for each in spec["versions"] if each.get("served")]
    resources = tuple(_resource(shared.definition, each) for each in served)
    pairs = list(zip(served, resources, strict=True))
    printers = {resource.gvr: printer(version) for version, resource in pairs}

    def define(prefix: str) -> Mapping[str, Obj]:
        found: dict[str, Obj] = {}
        for version, resource in pairs:
            found |= definitions(resource, version, prefix)
        return found

    return Published(
        resources,
        {resource.gvr: _served(shared, scheme, version, resource, terminating) for version, resource in pairs},
        printers={gvr: made for gvr, (made, _) in printers.items()},
        descriptions={gvr: told for gvr, (_, told) in printers.items()},
        define=define,
    )


def _resource(definition: Obj, version: Obj) -> Resource:
    spec, names = definition["spec"], definition["status"]["acceptedNames"]
    group, kind = spec["group"], names["kind"]
    subresources = version.get("subresources") or {}
    name = ".".join([*reversed(group.split(".")), version["name"], kind])
    parts: list[Subresource] = []
    if subresources.get("status") is not None:
        parts.append(Subresource("status", group, version["name"], kind, _PART, name))
    if subresources.get("scale") is not None:
        parts.append(Subresource("scale", "autoscaling", "v1", "Scale", _PART, _SCALE))
    return Resource(
        group,
        version["name"],
        names["plural"],
        names.get("singular", ""),
        kind,
        spec["scope"] == "Namespaced",
        VERBS,
        tuple(names.get("shortNames") or ()),
        tuple(names.get("categories") or ()),
        tuple(parts),
        name,
    )


def _served(shared: Family, scheme: Scheme, version: Obj, resource: Resource, terminating: bool) -> Served:
    root = shared.nodes[resource.version]
    codec = Codec(shared, resource.version)
    strategy = CustomResourceStrategy(resource, version, root)
    scale = (version.get("subresources") or {}).get("scale")
    metadata = Schema({"type": "object", "properties": {"metadata": {"ref": _META}}}, scheme.definitions)
    return Served(
        resource,
        CustomRegistry(resource, strategy, codec),
        None,
        None,
        ITEM_PREFIX,
        codec=codec,
        schema=CustomSchema(root, scheme.definitions, whole=True),
        normalise=Reader(root, metadata),
        warning=deprecation(shared.definition, version),
        scale=_scale(scale) if scale is not None else None,
        terminating=terminating,
        stored_version=shared.storage_version,
        lists=shared.definition["status"]["acceptedNames"].get("listKind") or f"{resource.kind}List",
    )


def _scale(scale: Obj) -> tuple[str, str, str]:
    return scale["specReplicasPath"], scale["statusReplicasPath"], scale.get("labelSelectorPath") or ""


def deprecation(definition: Obj, version: Obj) -> str:
    """What is said with every answer of a version on its way out; "" for the others."""
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    spec = definition["spec"]
    group, kind = spec["group"], spec["names"]["kind"]
    newer = [
        each["name"]
        for each in spec["versions"]
        if each.get("served") and not each.get("deprecated") and compare(each["name"], version["name"]) > 0
    ]
    text = f"{group}/{version['name']} {kind} is deprecated"
    return f"{text}; use {group}/{min(newer, key=NEWEST_FIRST)} {kind}" if newer else text


def stored(definition: Obj) -> Any:
    """The part of a definition that decides what is served: while it stays, nothing is published anew."""
    status = definition.get("status") or {}
    return (
        definition["metadata"]["uid"],
        definition["spec"],
        status.get("acceptedNames"),
        status.get("storedVersions"),
    )
