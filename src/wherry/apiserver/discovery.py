"""What the server tells clients it serves: /api, /apis and below, plain or aggregated in one document.

Pure functions of the scheme and of what is served beside it (metrics.k8s.io has no storage). Whether a client gets the
plain or the aggregated form is decided by `aggregated_version` from its Accept header.
Source: Kubernetes' documented discovery API and apidiscovery.k8s.io/v2.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Final, Protocol

from wherry.api.scheme import Group, Resource, Subresource
from wherry.api.types import GVR, Obj

DISCOVERY_GROUP: Final = "apidiscovery.k8s.io"
METRICS: Final = tuple(
    Resource("metrics.k8s.io", "v1beta1", plural, "", kind, namespaced, ("get", "list"))
    for plural, kind, namespaced in (("nodes", "NodeMetrics", False), ("pods", "PodMetrics", True))
)
"""Served from what the nodes measure; never stored."""

# Kinds whose objects are stored in another group or version than the one they are asked for in.
_STORED_AS: Final = {
    ("autoscaling", "HorizontalPodAutoscaler"): ("autoscaling", "v2"),
    ("events.k8s.io", "Event"): ("", "v1"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): ("apiextensions.k8s.io", "v1beta1"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): ("admissionregistration.k8s.io", "v1beta1"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): ("admissionregistration.k8s.io", "v1beta1"),
}


class Kinds(Protocol):
    """What is served: a Scheme, or everything of this moment."""

    @property
    def resources(self) -> Mapping[GVR, Resource]: ...

    def groups(self) -> list[Group]: ...


class Discovery:
    """The documents of one server at one moment. They are built once and must not be changed by who gets them."""

    def __init__(
        self,
        kinds: Kinds,
        extra: Iterable[Resource] = (),
        stale: frozenset[tuple[str, str]] = frozenset(),
        stored: Mapping[GVR, str] = MappingProxyType({}),
    ) -> None:
        """`stored`: the version objects of a custom resource are stored in."""
        self._stale = stale
        self._stored = stored
        self._resources: dict[tuple[str, str], list[Resource]] = {}
        versions = {group.name: list(group.versions) for group in kinds.groups()}
        for resource in [*kinds.resources.values(), *extra]:
            self._resources.setdefault((resource.group, resource.version), []).append(resource)
            if resource.version not in versions.setdefault(resource.group, []):
                versions[resource.group].append(resource.version)
        self._groups = {name: Group(name, tuple(found)) for name, found in versions.items()}

    def document(self, path: str, aggregated: str | None = None, server_address: str = "") -> Obj | None:
        """The document at /api, /apis, /api/v1, /apis/G or /apis/G/V; None where there is none.

        `aggregated` is "v2" or "v2beta1" (see aggregated_version) and matters for /api and /apis only.
        """
        match path.strip("/").split("/"):
            case ["api" | "apis" as root] if aggregated:
                return self.aggregated(core=root == "api", version=aggregated)
            case ["api"]:
                return self.api_versions(server_address)
            case ["apis"]:
                return self.group_list
            case ["api", version]:
                return self.resource_list("", version)
            case ["apis", group] if group:
                return self.group(group)
            case ["apis", group, version] if group:
                return self.resource_list(group, version)
        return None

    def api_versions(self, server_address: str) -> Obj:
        addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}]
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}

    @cached_property
    def group_list(self) -> Obj:
        groups = [_group(group) for group in self._groups.values() if group.name]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def group(self, name: str) -> Obj | None:
        group = self._groups.get(name) if name else None
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(group)} if group else None

    def resource_list(self, group: str, version: str) -> Obj | None:
        known = self._groups.get(group)
        if known is None or version not in known.versions:
            return None
        resources = self._resources.get((group, version), [])
        head: Obj = {"kind": "APIResourceList"} | ({"apiVersion": "v1"} if group else {})
        entries = [entry for resource in resources for entry in _entries(resource, self._stored)]
        return {**head, "groupVersion": f"{group}/{version}" if group else version, "resources": entries}

    def aggregated(self, core: bool, version: str = "v2") -> Obj:
        """Every group of /api (`core`) or of /apis with all its resources."""
        items = [self._aggregated_group(group) for group in self._groups.values() if (group.name == "") == core]
        api_version = f"{DISCOVERY_GROUP}/{version}"
        return {"kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}, "items": items}

    def _aggregated_group(self, group: Group) -> Obj:
        versions = [
            {
                "version": version,
                "resources": [_aggregated(resource) for resource in self._resources.get((group.name, version), ())],
                "freshness": "Stale" if (group.name, version) in self._stale else "Current",
            }
            for version in group.versions
        ]
        metadata: Obj = {"name": group.name} if group.name else {}
        return {"metadata": {**metadata, "creationTimestamp": None}, "versions": versions}


def aggregated_version(accept: str) -> str | None:
    """ "v2" or "v2beta1" when the client would rather have aggregated discovery, None for the plain form."""
    for media_range in accept.split(","):
        (media, *parameters) = [part.strip() for part in media_range.split(";")]
        values = dict(part.split("=", 1) for part in parameters if "=" in part)
        if media not in ("application/json", "*/*", "application/*"):
            continue
        if values.get("g") == DISCOVERY_GROUP and values.get("as") == "APIGroupDiscoveryList":
            if values.get("v") in ("v2", "v2beta1"):
                return values["v"]
        elif "as" not in values:
            return None
    return None


def aggregated_media_type(version: str) -> str:
    """The Content-Type of an aggregated answer."""
    return f"application/json;g={DISCOVERY_GROUP};v={version};as=APIGroupDiscoveryList"


def storage_version_hash(resource: Resource, stored: Mapping[GVR, str] = MappingProxyType({})) -> str:
    """Tells clients when objects are stored in another version; "" for what is not stored."""
    if "watch" not in resource.verbs:
        return ""
    plain = (resource.group, stored.get(resource.gvr, resource.version))
    (group, version) = _STORED_AS.get((resource.group, resource.kind), plain)
    digest = hashlib.sha256(f"{group}/{version}/{resource.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _group(group: Group) -> Obj:
    versions = [{"groupVersion": f"{group.name}/{version}", "version": version} for version in group.versions]
    return {"name": group.name, "versions": versions, "preferredVersion": versions[0]}


def _entries(resource: Resource, stored: Mapping[GVR, str]) -> Iterable[Obj]:
    """A resource and its subresources as APIResources."""
    entry: Obj = {
        "name": resource.resource,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if digest := storage_version_hash(resource, stored):
        entry["storageVersionHash"] = digest
    yield entry
    for sub in resource.subresources:
        foreign = (sub.group, sub.version) != (resource.group, resource.version)
        yield {
            "name": f"{resource.resource}/{sub.name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            **({"group": sub.group, "version": sub.version} if foreign else {}),
            "kind": sub.kind,
            "verbs": list(sub.verbs),
        }


def _aggregated(resource: Resource) -> Obj:
    entry: Obj = {
        "resource": resource.resource,
        "responseKind": _kind(resource),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {"subresource": sub.name, "responseKind": _kind(sub), "verbs": list(sub.verbs)}
            for sub in resource.subresources
        ]
    return entry


def _kind(thing: Resource | Subresource) -> Obj:
    return {"group": thing.group, "version": thing.version, "kind": thing.kind}
