"""Taking out of a merged object what its applier has given up, unless somebody else owns it or put it there.

`remove` takes members of a set out of an object; `prune` decides which. Three steps, as in structured-merge-diff:
everything the applier had goes; what any manager owns comes back; what the applier never had comes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wherry.apiserver.apply.configuration import fields_of, named_as_members
from wherry.apiserver.apply.field_set import FieldSet, common, minus, union
from wherry.apiserver.apply.path_elements import SELF, NoElement, member
from wherry.apiserver.apply.shape import DEDUCED, FIELDS, ITEMS, SET, Shape
from wherry.apiserver.apply.views import Views


def remove(value: Any, fields: FieldSet, shape: Shape) -> Any:
    """`value` without the members of `fields`; None when nothing is left of it. What is not touched is shared."""
    if not value or not fields:
        return value
    if shape.kind in (FIELDS, DEDUCED) and isinstance(value, dict):
        result = {}
        for name, below in value.items():
            child = shape.child(name)
            node = fields.get(f"f:{name}")
            if child is None or node is None:
                result[name] = below
            elif node and SELF not in node:
                result[name] = remove(below, node, child[1])
        return result or None
    if shape.kind in (ITEMS, SET) and isinstance(value, list):
        return _remove_elements(value, fields, shape)
    return None if shape.container else value


def _remove_elements(value: list[Any], fields: FieldSet, shape: Shape) -> list[Any] | None:
    assert shape.item is not None
    kept = []
    for item in value:
        node = fields.get(_name(item, shape))
        if node is None:
            kept.append(item)
        elif node and SELF not in node:
            kept.append(remove(item, node, shape.item))
    return kept or None


def _name(item: Any, shape: Shape) -> str:
    try:
        return shape.element(item) if shape.kind == ITEMS else member(item)
    except (NoElement, TypeError):
        return ""


def prune(
    merged: Any, last: FieldSet, last_version: str, owned: Mapping[str, FieldSet], version: str, views: Views
) -> Any:
    """`merged` (in `version`) without what `last`, the applier's fields in `last_version`, had and nobody has any more.
    `owned`: version -> everything managers own now, the applier's new fields included."""
    if not last:
        return merged
    there = views.convert(merged, version, last_version)
    shape = views.whole(last_version)
    if there is None or shape is None:
        return merged
    last = named_as_members(last, shape)
    left = remove(there, last, shape)
    for each in sorted(owned, key=lambda known: known != last_version):
        here, bare, its = (
            views.convert(there, last_version, each),
            views.convert(left, last_version, each),
            views.whole(each),
        )
        if here is None or bare is None or its is None:
            continue
        whole, rest = named_as_members(fields_of(here, its), its), named_as_members(fields_of(bare, its), its)
        kept = union(rest, named_as_members(owned[each], its))
        back = views.convert(remove(here, minus(whole, kept), its), each, last_version)
        left = left if back is None else back
    whole = named_as_members(fields_of(there, shape), shape)
    rest = named_as_members(fields_of(left, shape), shape)
    result = remove(there, common(minus(whole, rest), last), shape)
    back = views.convert(result, last_version, version)
    return merged if back is None else back
