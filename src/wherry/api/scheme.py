"""THE table: which groups, versions, kinds and resources one Kubernetes version serves.

It holds facts only: what is stored, defaulted or allowed is decided by the API server's strategies. Custom resources
are not in it. A Scheme never changes; Scheme.load gives everybody the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import Any, NamedTuple

from msgspec import Struct

from wherry.api import catalogue
from wherry.api.schema import Definitions, Schema
from wherry.api.types import GVR

DEFAULT_VERSION = "1.36"


class Subresource(Struct, frozen=True):
    """`status`, `scale`, `exec`: part of a resource with a path, verbs and perhaps a kind of its own."""

    name: str
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]
    definition: str = ""


class Resource(Struct, frozen=True):
    """One served resource. `definition` names its schema, `resource` is the plural that paths use."""

    group: str
    version: str
    resource: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    definition: str = ""

    @property
    def gvr(self) -> GVR:
        return GVR(self.group, self.version, self.resource)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def subresource(self, name: str) -> Subresource | None:
        return next((sub for sub in self.subresources if sub.name == name), None)


class Group(NamedTuple):
    """An API group with its versions, the preferred one first; the core group is `""`."""

    name: str
    versions: tuple[str, ...]

    @property
    def preferred(self) -> str:
        return self.versions[0]


class Scheme:
    """What Kubernetes `version` serves in its vanilla configuration: beta APIs that are off there are off here."""

    def __init__(self, version: str, facts: catalogue.Facts) -> None:
        self.version = version
        self.resources: Mapping[GVR, Resource] = {
            resource.gvr: resource for resource in map(_resource, facts.resources)
        }
        self.definitions = Definitions(facts.definitions, self._describe)
        self._kinds = {(resource.api_version, resource.kind): resource for resource in self.resources.values()}

    @staticmethod
    def load(version: str = DEFAULT_VERSION) -> Scheme:
        """The one Scheme of "1.25" ... "1.37"; ValueError for any other version."""
        return _load(version)

    @staticmethod
    def versions() -> list[str]:
        return catalogue.versions()

    def resource(self, gvr: GVR) -> Resource | None:
        return self.resources.get(gvr)

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        return self._kinds.get((api_version, kind))

    @cached_property
    def _groups(self) -> Mapping[str, Group]:
        found: dict[str, dict[str, None]] = {}
        for resource in self.resources.values():
            found.setdefault(resource.group, {})[resource.version] = None
        return {name: Group(name, tuple(versions)) for name, versions in found.items()}

    def groups(self) -> list[Group]:
        """In the order of discovery, the core group first."""
        return list(self._groups.values())

    def group(self, name: str) -> Group | None:
        return self._groups.get(name)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Nobody will be called: a Scheme never changes."""

    def schema(self, resource: Resource | Subresource) -> Schema:
        """The schema of the resource's kind; kinds without a published definition (PodExecOptions) are free-form."""
        if not resource.definition:
            return Schema({"type": "object"}, self.definitions)
        return self.definitions.schema(resource.definition)

    def schema_of(self, api_version: str, kind: str) -> Schema | None:
        """The schema of any kind that is said on the wire, also of Scale, Eviction, DeleteOptions or PodList."""
        name = self._definition_names.get((api_version, kind))
        return self.definitions.schema(name) if name else None

    @cached_property
    def _definition_names(self) -> Mapping[tuple[str, str], str]:
        names: dict[tuple[str, str], str] = {}
        for name, node in self.definitions.names().items():
            for gvk in node.get("x-kubernetes-group-version-kind", ()):
                api_version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
                names.setdefault((api_version, gvk["kind"]), name)
        return names

    @cached_property
    def prose(self) -> catalogue.Prose:
        """Descriptions and defaults, for documents; slow to load the first time (tens of milliseconds)."""
        return catalogue.prose(self.version)

    def _describe(self, name: str) -> str:
        return self.prose.descriptions.get(name, ("", {}))[0]


@cache
def _load(version: str) -> Scheme:
    if version not in catalogue.versions():
        raise ValueError(f"Kubernetes {version} is not known; choose one of {', '.join(catalogue.versions())}")
    return Scheme(version, catalogue.facts(version))


def _resource(entry: dict[str, Any]) -> Resource:
    (group, version) = (entry["group"], entry["version"])
    return Resource(
        group,
        version,
        entry["resource"],
        entry["singular"],
        entry["kind"],
        entry["namespaced"],
        tuple(entry["verbs"]),
        tuple(entry.get("shortNames", ())),
        tuple(entry.get("categories", ())),
        tuple(
            Subresource(
                sub["name"], sub.get("group", group), sub.get("version", version), sub["kind"], tuple(sub["verbs"]),
                sub.get("definition", ""),
            )
            for sub in entry["subresources"]
        ),
        entry["definition"],
    )  # fmt: skip
