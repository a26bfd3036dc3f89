"""What is served at this moment: the built-in resources, and what custom resources and aggregated APIs add and take away.

Is: the one table that routing, discovery, OpenAPI, tables and the controllers of everything (namespaces, garbage) read. Is
not: who decides; `extensions/` publishes CustomResourceDefinitions, aggregation publishes APIServices. Always true: a change
happens at once and whole, between two requests, and `version` counts it, so whoever keeps something made of this table (a
document, a memo) compares one integer. Built-in resources are never replaced.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cmp_to_key
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct, field

from wherry.api.schema import Schema
from wherry.api.scheme import Group, Resource, Scheme
from wherry.api.structure import Findings
from wherry.api.types import GVR, Obj
from wherry.apiserver.auth.user import User
from wherry.apiserver.discovery import METRICS
from wherry.apiserver.filters.request_info import RequestInfo
from wherry.apiserver.http import Answer, Request
from wherry.apiserver.printers.form import Printer
from wherry.apiserver.version_order import compare
from wherry.storage.interface import Change, Entry, Watch

if TYPE_CHECKING:
    from wherry.apiserver.registry.generic import Registry

Forward: TypeAlias = Callable[[Request, RequestInfo, User], Awaitable[Answer]]
"""Answers a request in our place, after authentication and authorization."""
Define: TypeAlias = Callable[[str], Mapping[str, Obj]]
"""The prefix of references ("#/definitions/" or "#/components/schemas/") -> OpenAPI schemas by name."""
CUSTOM_GROUP_PRIORITY = 1000
CUSTOM_VERSION_PRIORITY = 100
"""What kube-apiserver gives the groups and versions of custom resources."""


class Codec(Protocol):
    """Between what is stored and the version asked for, where that is more than a pure function of the object: custom
    resources may wait for a conversion webhook."""

    @property
    def clean(self) -> bool:
        """Everything stored is as it would be answered: stored bytes will do."""
        ...

    async def entries(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """All of them in the version asked for."""
        ...

    def renamed(self, obj: Obj) -> Obj | None:
        """An object of another version as one of this, None when only a conversion webhook could tell."""
        ...

    async def change(self, change: Change) -> Change: ...

    async def warm(self, key: str) -> None:
        """Make sure that the registry can be asked for the object there without waiting."""
        ...

    def peek(self, entry: Entry) -> Obj:
        """One in the version asked for, or as it is stored if that would need waiting."""
        ...

    def opened(self, watch: Watch) -> None:
        """It is to end when this is no longer what is served."""
        ...

    def closed(self, watch: Watch) -> None: ...


class Served(Struct, frozen=True):
    """A resource in the version it is asked for, and the registry that stores it, perhaps in another.

    `inward` and `outward` convert built-in versions; `codec` does that for custom resources, whose registry speaks the
    served version already.
    """

    resource: Resource
    registry: Registry
    inward: Callable[[Obj], Obj] | None
    outward: Callable[[Obj], Obj] | None
    item_prefix: bytes
    """How the encoding of every stored object begins: what a LIST leaves out of its items."""
    codec: Codec | None = None
    schema: Schema | None = None
    """Of custom resources; the scheme's for all others."""
    normalise: Callable[[Obj, Schema], Findings] | None = None
    """Reads a body instead of `api.structure.normalise`."""
    warning: str = ""
    """Said with every answer: the version is deprecated."""
    scale: tuple[str, str, str] | None = None
    """Paths of a custom resource's scale: spec replicas, status replicas, selector ("" for none)."""
    terminating: bool = False
    """Nothing new may be created: the definition is being deleted."""
    stored_version: str = ""
    """Of custom resources."""
    lists: str = ""
    """The kind of its lists, where that is not the usual one."""

    @property
    def list_kind(self) -> str:
        return self.lists or f"{self.resource.kind}List"

    def show(self, value: Obj) -> Obj:
        """A stored object in the version asked for."""
        return value if self.outward is None else self.outward(value)


class Published(Struct, frozen=True):
    """What one owner adds. `resources` and `served` are by group, version and plural; `group_versions` are there even
    without resources. With `forward` every request below /apis/GROUP/VERSION of these goes there instead of to us."""

    resources: tuple[Resource, ...] = ()
    served: Mapping[GVR, Served] = field(default_factory=dict)
    group_versions: tuple[tuple[str, str], ...] = ()
    group_priority: int = CUSTOM_GROUP_PRIORITY
    version_priority: int = CUSTOM_VERSION_PRIORITY
    printers: Mapping[GVR, Printer] = field(default_factory=dict)
    descriptions: Mapping[GVR, Mapping[str, str]] = field(default_factory=dict)
    """Of the printers' columns, by column."""
    define: Define | None = None
    forward: Forward | None = None
    stale: bool = False
    """Who answers instead of us does not: what it has is not known now."""
    documents: Mapping[str, bytes] = field(default_factory=dict)
    """OpenAPI 3 documents made elsewhere, by name ("apis/GROUP/VERSION")."""
    swagger: bytes = b""
    """An OpenAPI 2 document made elsewhere."""

    def versions(self) -> Iterable[tuple[str, str]]:
        """Every group and version this is about."""
        return dict.fromkeys([*self.group_versions, *((each.group, each.version) for each in self.resources)])


class Serving:
    """The table. Read it directly; change it only with `publish` and `withdraw`."""

    def __init__(self, scheme: Scheme) -> None:
        self.scheme = scheme
        self.version = 0
        self.served: dict[GVR, Served] = {}
        """Those with storage."""
        self.resources: dict[GVR, Resource] = {}
        """All, in the order of discovery."""
        self.published: dict[str, Published] = {}
        self.forwards: dict[tuple[str, str], Forward] = {}
        self._groups: dict[str, Group] = {}
        self._stamps: dict[tuple[str, str], int] = {}
        self._listeners: list[Callable[[], None]] = []
        self._waiting = False
        self.publish("metrics.k8s.io", Published(METRICS, group_priority=100))

    def publish(self, owner: str, what: Published) -> None:
        """Serve `what` from now on, instead of what this owner published before. `owner` is any unique text
        ("customresourcedefinitions/NAME", "apiservices/NAME")."""
        self._replace(owner, what)

    def withdraw(self, owner: str) -> None:
        """Stop serving what the owner published; nothing happens if that is nothing."""
        if owner in self.published:
            self._replace(owner, None)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Many changes that nobody sees before the last."""
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False
            self._arrange()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call it after every change, within the call that changed it."""
        self._listeners.append(listener)

    def stale(self) -> frozenset[tuple[str, str]]:
        """Groups and versions whose server cannot be asked."""
        return frozenset(each for what in self.published.values() if what.stale for each in what.versions())

    def stored(self) -> dict[GVR, str]:
        """The version objects of each custom resource are stored in."""
        return {gvr: served.stored_version for gvr, served in self.served.items() if served.stored_version}

    def group(self, name: str) -> Group | None:
        return self._groups.get(name)

    def groups(self) -> list[Group]:
        """In the order of discovery, the core group first; versions with the preferred one first."""
        return list(self._groups.values())

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        found = self.scheme.by_kind(api_version, kind)
        if found is not None:
            return found
        return next((each for each in self._custom() if (each.api_version, each.kind) == (api_version, kind)), None)

    def stamp(self, group: str, version: str) -> int:
        """The `version` at which something of this group and version changed last; 0 for what is built in."""
        return self._stamps.get((group, version), 0)

    def printer(self, gvr: GVR) -> tuple[Printer, Mapping[str, str]] | None:
        """The printer of a resource that is not built in, and descriptions of its columns."""
        for what in self.published.values():
            if gvr in what.printers:
                return what.printers[gvr], what.descriptions.get(gvr, {})
        return None

    def forward(self, info: RequestInfo) -> Forward | None:
        """Who answers this path, if not we; /apis/GROUP/VERSION itself, its discovery, belongs to it."""
        if info.is_resource:
            return self.forwards.get((info.group, info.version))
        parts = info.path.strip("/").split("/")
        return self.forwards.get((parts[1], parts[2])) if len(parts) == 3 and parts[0] == "apis" else None

    def _custom(self) -> Iterable[Resource]:
        return (resource for what in self.published.values() for resource in what.resources)

    def _replace(self, owner: str, what: Published | None) -> None:
        self.version += 1
        before = self.published.pop(owner, None)
        if what is not None:
            self.published[owner] = what
        for part in (before, what):
            for each in part.versions() if part is not None else ():
                self._stamps[each] = self.version
        for gvr in before.served if before is not None else ():
            self.served.pop(gvr, None)
        for gvr, served in what.served.items() if what is not None else ():
            self.served[gvr] = served
        if not self._waiting:
            self._arrange()

    def _arrange(self) -> None:
        """The order of everything, anew; then everybody who wanted to know is told."""
        self._order()
        for listener in self._listeners:
            listener()

    def _order(self) -> None:
        """Groups, versions and resources anew, in the order of discovery: by priority, then by name."""
        versions = {group.name: list(group.versions) for group in self.scheme.groups()}
        added: dict[str, list[tuple[int, str]]] = {}
        priorities: dict[str, int] = {}
        self.forwards = {}
        for what in self.published.values():
            for group, version in what.versions():
                priorities[group] = max(priorities.get(group, 0), what.group_priority)
                if version not in versions.get(group, ()):
                    added.setdefault(group, []).append((what.version_priority, version))
                if what.forward is not None:
                    self.forwards[group, version] = what.forward
        for group in sorted(added, key=lambda name: (-priorities[name], name)):
            ordered = sorted(dict.fromkeys(added[group]), key=cmp_to_key(_by_priority))
            versions.setdefault(group, []).extend(dict.fromkeys(version for _, version in ordered))
        self._groups = {name: Group(name, tuple(found)) for name, found in versions.items()}
        custom = sorted(self._custom(), key=lambda each: each.resource)
        self.resources = {each.gvr: each for each in custom} | dict(self.scheme.resources)
        if custom:
            order = {(g.name, v): (i, j) for i, g in enumerate(self.groups()) for j, v in enumerate(g.versions)}
            found = sorted(self.resources.values(), key=lambda each: order[each.group, each.version])
            self.resources = {each.gvr: each for each in found}


def _by_priority(left: tuple[int, str], right: tuple[int, str]) -> int:
    return right[0] - left[0] or compare(right[1], left[1])
