"""Ownership by update: who changes a field owns it, and nobody else does any more.

create, PUT, and the patches that are no apply. Pure: entries before and differences in, entries after out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from wherry.api.types import Obj
from wherry.apiserver.apply.differences import Differences
from wherry.apiserver.apply.entries import Entries, Writer, settled, with_fields
from wherry.apiserver.apply.field_set import FieldSet, minus, union, without


class Seen(NamedTuple):
    """What a write did to an object as one version of it sees that. `gone`: what its other managers lose."""

    changed: FieldSet
    removed: FieldSet
    gone: FieldSet


def seen(found: Differences, reset: FieldSet) -> Seen:
    """`reset`: what this way of writing cannot touch, whatever was sent."""
    changed, removed = found
    if reset:
        changed, removed = without(changed, reset), without(removed, reset)
    return Seen(changed, removed, union(changed, removed) if removed else changed)


def updated(entries: Entries, writer: Writer, own: Seen, in_version: Callable[[str], Seen | None], now: str) -> Entries:
    """The entries after `writer` made `own` of an object. `in_version` says the same in another version, None when the
    object has no such version any more. The very same list comes back when nothing changed hands."""
    after: list[Obj] = []
    mine: Obj | None = None
    same = True
    for entry in entries:
        there = own if entry["apiVersion"] == writer.api_version else in_version(entry["apiVersion"])
        if there is None:
            same = False
            continue
        fields = entry["fieldsV1"]
        if mine is None and writer.is_of(entry):
            mine = entry
            fields = union(minus(fields, there.removed), there.changed)
            if there.changed and fields:
                same = False
                after.append({**entry, "time": now} if fields is entry["fieldsV1"] else writer.entry(fields, now))
                continue
        else:
            fields = minus(fields, there.gone)
        if fields is entry["fieldsV1"]:
            after.append(entry)
            continue
        same = False
        if fields:
            after.append(with_fields(entry, fields))
    if mine is None and own.changed:
        same = False
        after.append(writer.entry(own.changed, now))
    return entries if same else settled(after)
