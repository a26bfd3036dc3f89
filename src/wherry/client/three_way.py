"""What `kubectl apply` sends: a patch made of what the file says now, what it said last time, and what is live.

Pure. Rule 1: a field goes away only if the last applied configuration had it and the new one has not. Rule 2: what
others wrote stays. Lists with a merge key are merged element by element (strategic merge patch, documented in
kubernetes/community's sig-api-machinery/strategic-merge-patch.md); kinds without a schema get a JSON merge patch.
"""

from __future__ import annotations

import json
from typing import Any

from wherry.api.schema import Schema
from wherry.api.types import Obj

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MISSING = object()


def with_last_applied(obj: Obj) -> Obj:
    """`obj` with kubectl's annotation, so that `kubectl apply` and `kubectl diff` go on where we stopped."""
    annotations = {k: v for k, v in (obj["metadata"].get("annotations") or {}).items() if k != LAST_APPLIED}
    plain = {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character, escape in (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e")):
        text = text.replace(character, escape)  # as Go's encoder writes them, and kubectl compares texts
    return {**plain, "metadata": {**plain["metadata"], "annotations": {**annotations, LAST_APPLIED: text + "\n"}}}


def last_applied(live: Obj) -> Obj:
    """What was applied last; empty when it was never applied."""
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def three_way(original: Obj, modified: Obj, live: Obj, schema: Schema | None) -> Obj:
    """The patch that takes `live` to `modified`, given the `original` applied before; `{}` when nothing is to change.

    With a schema it is a strategic merge patch, without one a JSON merge patch.
    """
    changes = _diff_maps(live, modified, schema, additions=True, deletions=False)
    removals = _diff_maps(original, modified, schema, additions=False, deletions=True)
    return _combine(removals, changes, schema)


def _diff_maps(old: Obj, new: Obj, schema: Schema | None, *, additions: bool, deletions: bool) -> Obj:
    patch: Obj = {}
    for key, value in new.items():
        before = old.get(key, _MISSING)
        child = _child(schema, key)
        if before is _MISSING or before is None:
            if additions and value is not None:
                patch[key] = value
        elif isinstance(value, dict) and isinstance(before, dict) and not _replaces(child):
            inner = _diff_maps(before, value, child, additions=additions, deletions=deletions)
            if inner:
                patch[key] = inner
        elif isinstance(value, list) and isinstance(before, list) and _merges(child):
            patch.update(_diff_lists(key, before, value, child, additions=additions, deletions=deletions))
        elif additions and not _same(before, value):
            patch[key] = value
    if deletions:
        patch.update({key: None for key, value in old.items() if key not in new and value is not None})
    return patch


def _diff_lists(
    key: str, old: list[Any], new: list[Any], schema: Schema | None, *, additions: bool, deletions: bool
) -> Obj:
    assert schema is not None
    merge_key = schema.patch_merge_key
    if not merge_key or not all(isinstance(item, dict) and merge_key in item for item in [*old, *new]):
        return _diff_primitives(key, old, new, additions=additions, deletions=deletions)
    before = {_hashable(item[merge_key]): item for item in old}
    elements: list[Obj] = []
    for item in new:
        match = before.pop(_hashable(item[merge_key]), None)
        if match is None:
            if additions:
                elements.append(item)
            continue
        inner = _diff_maps(match, item, schema.items, additions=additions, deletions=deletions)
        if inner:
            elements.append({**inner, merge_key: item[merge_key]})
    if deletions:
        elements += [{"$patch": "delete", merge_key: item[merge_key]} for item in before.values()]
    if not elements:
        return {}
    return {f"$setElementOrder/{key}": [{merge_key: item[merge_key]} for item in new], key: elements}


def _diff_primitives(key: str, old: list[Any], new: list[Any], *, additions: bool, deletions: bool) -> Obj:
    patch: Obj = {}
    added = [item for item in new if item not in old]
    removed = [item for item in old if item not in new]
    if additions and added:
        patch[key] = added
    if deletions and removed:
        patch[f"$deleteFromPrimitiveList/{key}"] = removed
    if patch:
        patch[f"$setElementOrder/{key}"] = new
    return patch


def _combine(removals: Obj, changes: Obj, schema: Schema | None) -> Obj:
    """Both patches as one; where they meet in a list with a merge key, element by element."""
    patch = dict(removals)
    for key, value in changes.items():
        other = patch.get(key)
        child = _child(schema, key)
        if isinstance(other, dict) and isinstance(value, dict):
            patch[key] = _combine(other, value, child)
        elif isinstance(other, list) and isinstance(value, list) and child is not None and child.patch_merge_key:
            patch[key] = _combine_lists(other, value, child)
        else:
            patch[key] = value
    return patch


def _combine_lists(removals: list[Obj], changes: list[Obj], schema: Schema) -> list[Obj]:
    merge_key = schema.patch_merge_key
    assert merge_key
    merged = {_hashable(item[merge_key]): item for item in removals}
    for item in changes:
        name = _hashable(item[merge_key])
        merged[name] = _combine(merged[name], item, schema.items) if name in merged else item
    return list(merged.values())


def _child(schema: Schema | None, key: str) -> Schema | None:
    if schema is None:
        return None
    if schema.fields:
        return schema.fields.get(key)
    return schema.values


def _replaces(schema: Schema | None) -> bool:
    return schema is not None and "replace" in schema.patch_strategy


def _merges(schema: Schema | None) -> bool:
    return schema is not None and "merge" in schema.patch_strategy


def _same(before: Any, value: Any) -> bool:
    # JSON tells true from 1; Python does not.
    return bool(before == value) and isinstance(before, bool) == isinstance(value, bool)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool)) else json.dumps(value, sort_keys=True)
