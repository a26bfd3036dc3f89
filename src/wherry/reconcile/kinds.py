"""The resources a controller of everything (garbage collector, namespaces) walks over: each once, in one version."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.scheme import Resource, Scheme


def storable(scheme: Scheme, *verbs: str) -> list[Resource]:
    """Every resource that has all of `verbs`, in its group's preferred version where it is served there."""
    found: dict[tuple[str, str], Resource] = {}
    for resource in _preferred_first(scheme):
        if all(verb in resource.verbs for verb in verbs):
            found.setdefault((resource.group, resource.resource), resource)
    return list(found.values())


def _preferred_first(scheme: Scheme) -> Iterable[Resource]:
    order = {
        (group.name, version): position for group in scheme.groups() for position, version in enumerate(group.versions)
    }
    return sorted(scheme.resources.values(), key=lambda one: order[(one.group, one.version)])
