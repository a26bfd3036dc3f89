"""The resources a controller of everything (garbage collector, namespaces) walks over: each once, in one version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from wherry.api.scheme import Group, Resource
from wherry.api.types import GVR


class Kinds(Protocol):
    """What is served: a Scheme, which never changes, or the API server's table, where custom resources come and go."""

    @property
    def resources(self) -> Mapping[GVR, Resource]: ...

    def groups(self) -> list[Group]: ...

    def by_kind(self, api_version: str, kind: str) -> Resource | None: ...

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call it after every change."""
        ...


def storable(kinds: Kinds, *verbs: str) -> list[Resource]:
    """Every resource that has all of `verbs`, in its group's preferred version where it is served there."""
    found: dict[tuple[str, str], Resource] = {}
    for resource in _preferred_first(kinds):
        if all(verb in resource.verbs for verb in verbs):
            found.setdefault((resource.group, resource.resource), resource)
    return list(found.values())


def _preferred_first(kinds: Kinds) -> Iterable[Resource]:
    order = {
        (group.name, version): position for group in kinds.groups() for position, version in enumerate(group.versions)
    }
    return sorted(kinds.resources.values(), key=lambda one: order[(one.group, one.version)])
