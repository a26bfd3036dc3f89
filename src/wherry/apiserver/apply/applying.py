"""Ownership by apply: what a configuration says is merged in and owned, what it says no more is given up.

Pure: the live object, its entries and a configuration in, the merged object and its entries out. An applier shares fields
that have the value it wants; a field somebody else owns with another value is a conflict, unless it is forced.
"""

from __future__ import annotations

from typing import NamedTuple

from wherry.api.errors import bad_request
from wherry.api.types import Obj
from wherry.apiserver.apply.configuration import fields_of, joined, problems
from wherry.apiserver.apply.conflicts import Conflict, Conflicts
from wherry.apiserver.apply.differences import differences
from wherry.apiserver.apply.entries import Entries, Writer, settled, with_fields
from wherry.apiserver.apply.field_set import EMPTY, FieldSet, common, minus, without
from wherry.apiserver.apply.merging import merge
from wherry.apiserver.apply.pruning import prune
from wherry.apiserver.apply.updates import Seen, seen
from wherry.apiserver.apply.views import Views


class Applied(NamedTuple):
    """`obj` in the version spoken; None when there was nothing to change but owners."""

    obj: Obj | None
    entries: Entries


def check(configuration: Obj, version: str, views: Views) -> None:
    """Raises 400 for what is not of the kind's shape. (kube-apiserver answers 500 with the same text.)"""
    view = views.view(version)
    assert view is not None, version
    why = problems(configuration, view.whole)
    if why:
        metadata = configuration.get("metadata")
        named = metadata if isinstance(metadata, dict) else {}
        group, _, short = version.rpartition("/")
        kind = f"{group}/{short}, Kind={configuration.get('kind')}"
        name = f"{named.get('namespace') or ''}/{named.get('name') or ''}"
        raise bad_request(f"failed to create typed patch object ({name}; {kind}): {why}")


def applied(
    live: Obj,
    configuration: Obj,
    entries: Entries,
    writer: Writer,
    reset: FieldSet,
    views: Views,
    force: bool,
    now: str,
) -> Applied:
    """`live` and `configuration` (checked) in the writer's version. Raises Conflicts."""
    version = writer.api_version
    view = views.view(version)
    assert view is not None, version
    before = next((each for each in entries if writer.is_of(each)), None)
    fields = fields_of(configuration, view.tracked)
    if reset:
        fields = without(fields, reset)
    others = [each for each in entries if each is not before]
    # Its name is nobody's, and yet the configuration has it: metadata must not be pruned.
    owned: dict[str, list[FieldSet]] = {version: [fields_of(configuration, view.whole)]}
    for each in others:
        owned.setdefault(each["apiVersion"], []).append(each["fieldsV1"])
    last, last_version = (before["fieldsV1"], before["apiVersion"]) if before is not None else (EMPTY, version)
    merged = merge(live, configuration, view.whole)
    merged = prune(merged, last, last_version, {each: joined(sets) for each, sets in owned.items()}, version, views)
    left = _yielded(others, live, merged, version, reset, views, force)
    changed = merged != live
    if fields:
        time = now if changed else before.get("time") if before is not None else None
        mine = writer.entry(fields, time)
        left.append(before if mine == before else mine)
    return Applied(merged if changed else None, settled(left))


def _yielded(
    others: list[Obj], live: Obj, merged: Obj, version: str, reset: FieldSet, views: Views, force: bool
) -> list[Obj]:
    """The others' entries without what they lose. Raises Conflicts unless they are forced."""
    known: dict[str, Seen | None] = {}
    conflicts: list[Conflict] = []
    left: list[Obj] = []
    for entry in others:
        each = entry["apiVersion"]
        if each not in known:
            known[each] = _seen_in(each, live, merged, version, reset, views)
        there = known[each]
        if there is None:
            continue  # its version is served no more
        taken = common(entry["fieldsV1"], there.changed)
        if taken:
            conflicts.append(Conflict(entry, taken))
        rest = minus(entry["fieldsV1"], there.gone)
        if rest:
            left.append(entry if rest is entry["fieldsV1"] else with_fields(entry, rest))
    if conflicts and not force:
        raise Conflicts(conflicts)
    return left


def _seen_in(target: str, live: Obj, merged: Obj, version: str, reset: FieldSet, views: Views) -> Seen | None:
    old, new, shape = (
        views.convert(live, version, target),
        views.convert(merged, version, target),
        views.tracked(target),
    )
    if old is None or new is None or shape is None:
        return None
    return seen(differences(old, new, shape), reset)
