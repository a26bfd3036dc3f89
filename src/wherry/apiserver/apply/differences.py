"""What one object has that another has not: two field sets, made by walking changed branches only.

    changed    added or with another value
    removed    no longer there, itself and everything that was below it
What has come as a whole (a map, a list element, a struct behind a pointer) is changed itself as well as everything in it.
Branches that are the same object on both sides, or equal, are not entered.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from wherry.apiserver.apply.field_set import EMPTY, LEAF, FieldSet
from wherry.apiserver.apply.path_elements import SELF, NoElement, member
from wherry.apiserver.apply.shape import DEDUCED, FIELDS, ITEMS, SET, Shape
from wherry.apiserver.apply.shape import LEAF as WHOLE

_ABSENT: Final[Any] = object()
_UNSEEN: Final[Any] = object()


class Differences(NamedTuple):
    changed: FieldSet
    removed: FieldSet


NONE: Final = Differences(EMPTY, EMPTY)


def differences(old: Any, new: Any, shape: Shape) -> Differences:
    """From `old` to `new`, both of `shape`."""
    return NONE if old is new else _fields(old, new, shape)


def _fields(old: dict[str, Any], new: dict[str, Any], shape: Shape) -> Differences:
    changed: FieldSet = {}
    removed: FieldSet = {}
    zeros, fields = shape.zeros, shape.fields
    for name, value in new.items():
        before = old.get(name, _ABSENT)
        if before is value:
            continue
        child = fields.get(name, _UNSEEN)
        if child is _UNSEEN:
            child = shape.child(name)
        if child is None:
            continue
        element, below = child
        if before is _ABSENT:
            if name not in zeros:
                if value is not None or not shape.declared:
                    changed[element] = LEAF if below.kind == WHOLE else whole(value, below)
                continue
            before = zeros[name]
        if before == value:
            continue
        if below.kind == WHOLE:
            changed[element] = LEAF
            continue
        found = _value(before, value, below)
        if found.changed or found is _LEAF_CHANGED:
            changed[element] = found.changed
        if found.removed:
            removed[element] = found.removed
    if not old.keys() <= new.keys():
        _gone(old, new, shape, removed)
    return Differences(changed, removed)


def _gone(old: dict[str, Any], new: dict[str, Any], shape: Shape, removed: FieldSet) -> None:
    """Add what `new` has no more."""
    for name, value in old.items():
        if name in new or (value is None and shape.declared):
            continue
        child = shape.child(name)
        if child is None:
            continue
        element, below = child
        if shape.zeros.get(name) == {} and below.kind == FIELDS and isinstance(value, dict):
            left = _fields(value, {}, below).removed  # a struct that stays, empty
            if left:
                removed[element] = left
        else:
            removed[element] = whole(value, below)


_LEAF_CHANGED: Final = Differences(LEAF, EMPTY)


def _value(old: Any, new: Any, shape: Shape) -> Differences:
    """Two values that differ, both there."""
    kind = shape.kind
    if kind in (FIELDS, DEDUCED):
        ours, theirs = old if isinstance(old, dict) else {}, new if isinstance(new, dict) else {}
        if not ours and not theirs:
            return _LEAF_CHANGED
        if kind == DEDUCED and not (isinstance(old, dict) and isinstance(new, dict)):
            return _LEAF_CHANGED
        return _fields(ours, theirs, shape)
    if kind in (ITEMS, SET):
        before, after = old if isinstance(old, list) else [], new if isinstance(new, list) else []
        return _elements(before, after, shape) if before or after else _LEAF_CHANGED
    return _LEAF_CHANGED


def _elements(old: list[Any], new: list[Any], shape: Shape) -> Differences:
    before, after = indexed(old, shape), indexed(new, shape)
    item = shape.item
    assert item is not None
    changed: FieldSet = {}
    removed: FieldSet = {}
    for element, values in after.items():
        was = before.get(element)
        if was is None:
            changed[element] = whole(values[0], item) if len(values) == 1 else LEAF
        elif len(was) == len(values) == 1:
            if was[0] is values[0] or was[0] == values[0]:
                continue
            found = _value(was[0], values[0], item)
            if found.changed or found is _LEAF_CHANGED:
                changed[element] = found.changed
            if found.removed:
                removed[element] = found.removed
        elif was != values:
            changed[element] = LEAF
    for element, values in before.items():
        if element not in after:
            removed[element] = whole(values[0], item) if len(values) == 1 else LEAF
    return Differences(changed, removed)


def indexed(values: list[Any], shape: Shape) -> dict[str, list[Any]]:
    """The elements of an ITEMS or SET by name, in order; stored lists may have several of one name, or one without."""
    found: dict[str, list[Any]] = {}
    for value in values:
        if shape.kind == ITEMS:
            try:
                element = shape.element(value)
            except NoElement:
                continue
        elif isinstance(value, dict | list):
            continue
        else:
            element = member(value)
        found.setdefault(element, []).append(value)
    return found


def whole(value: Any, shape: Shape) -> FieldSet:
    """The node of something that came or went: itself and everything below."""
    kind = shape.kind
    if kind in (FIELDS, DEDUCED):
        if not value or not isinstance(value, dict):
            return LEAF
        node: FieldSet = {SELF: LEAF}
        if shape.plain:
            for name in value:
                node[f"f:{name}"] = LEAF
            return node
        fields = shape.fields
        for name, below in value.items():
            child = fields.get(name, _UNSEEN)
            if child is _UNSEEN:
                child = shape.child(name)
            if child is not None:
                deeper = child[1]
                node[child[0]] = LEAF if deeper.kind == WHOLE else whole(below, deeper)
        return node if len(node) > 1 else LEAF
    if kind in (ITEMS, SET):
        if not value or not isinstance(value, list):
            return LEAF
        item = shape.item
        assert item is not None
        node = {SELF: LEAF}
        for element, values in indexed(value, shape).items():
            node[element] = whole(values[0], item) if len(values) == 1 else LEAF
        return node
    return LEAF
