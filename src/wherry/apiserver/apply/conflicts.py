"""Fields that others own with another value: what a refused apply is told (409, cause FieldManagerConflict)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from wherry.api.errors import Cause, StatusError
from wherry.api.types import Obj
from wherry.apiserver.apply.entries import UPDATE
from wherry.apiserver.apply.field_set import FieldSet, paths
from wherry.apiserver.apply.path_elements import shown_path

REASON = "FieldManagerConflict"


class Conflict(NamedTuple):
    """One manager's fields that an apply would change."""

    entry: Obj
    fields: FieldSet


class Conflicts(Exception):
    """Never empty."""

    def __init__(self, found: list[Conflict]) -> None:
        super().__init__("conflicts")
        self.found = sorted(found, key=lambda each: _owner(each.entry))


def _owner(entry: Obj) -> str:
    """`"kubectl" with subresource "status" using apps/v1`; appliers are known by their name alone."""
    text = json.dumps(entry["manager"], ensure_ascii=False)
    if entry.get("subresource"):
        text += f" with subresource {json.dumps(entry['subresource'])}"
    return f"{text} using {entry['apiVersion']}" if entry["operation"] == UPDATE else text


def _each(conflicts: Conflicts) -> Iterator[tuple[str, str]]:
    for conflict in conflicts.found:
        for path in paths(conflict.fields):
            yield _owner(conflict.entry), shown_path(path)


def refusal(conflicts: Conflicts) -> StatusError:
    """What the caller is told: every field, by owner."""
    found = list(_each(conflicts))
    causes = [Cause(REASON, f"conflict with {owner}", path).to_dict() for owner, path in found]
    if len(found) == 1:
        text = f"1 conflict: conflict with {found[0][0]}: {found[0][1]}"
    else:
        by_owner: dict[str, list[str]] = {}
        for owner, path in found:
            by_owner.setdefault(owner, []).append(path)
        lines = [
            line
            for owner, its in by_owner.items()
            for line in (f"conflicts with {owner}:", *(f"- {each}" for each in its))
        ]
        text = f"{len(found)} conflicts: " + "\n".join(lines)
    return StatusError(409, "Conflict", f"Apply failed with {text}", {"causes": causes})
