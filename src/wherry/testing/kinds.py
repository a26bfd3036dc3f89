"""Which resource somebody means: `deployment`, `Deployment`, `deploy`, `deployments`, `deployments.apps`, `deployments.v1.apps`.

As kubectl reads it: the first match in the order of discovery. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.scheme import Resource


class UnknownKind(LookupError):
    """Nothing is served under that name; the text says what is nearest."""


def find(resources: Iterable[Resource], said: str) -> Resource:
    """Raises UnknownKind."""
    name, _, rest = said.lower().partition(".")
    known = []
    for each in resources:
        names = (each.resource, each.singular or each.kind.lower(), each.kind.lower(), *each.short_names)
        group = (each.group, f"{each.version}.{each.group}") if each.group else ("", each.version)
        if name in names and (not rest or rest in group):
            return each
        known.append(each.resource)
    from difflib import get_close_matches  # only for a misspelling

    near = get_close_matches(name, known, 1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    raise UnknownKind(f'the control plane has no resource "{said}"{hint}')


def of_object(resources: Iterable[Resource], api_version: str, kind: str) -> Resource:
    """What an object's apiVersion and kind name. Raises UnknownKind."""
    for each in resources:
        if (each.api_version, each.kind) == (api_version, kind):
            return each
    raise UnknownKind(f'no matches for kind "{kind}" in version "{api_version}"')
