"""A set of paths in the very form fieldsV1 has on the wire: nothing is encoded or decoded to work with it.

    {"f:data": {".": {}, "f:a": {}}}      .data and .data.a
    {"f:data": {"f:a": {}}}               .data.a only
    {"f:data": {}}                        .data only

A node belongs to the set when it is empty or has "."; the root never does, so an empty root is the empty set.
Sets are never changed: every operation shares what it leaves alone and gives back its first argument, the very same
object, when there was nothing to do. Callers compare with `is` to see whether anything happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from wherry.api.json import encode
from wherry.apiserver.apply.path_elements import SELF, is_valid

FieldSet: TypeAlias = dict[str, Any]
LEAF: Final[FieldSet] = {}
"""A member without members below it; one for all."""
EMPTY: Final[FieldSet] = {}
DEPTH_MAX: Final = 200
SHARED_MAX: Final = 2048
"""Sets that are remembered: with a kilobyte or two each, they cost a few megabytes and save many."""
_SHARED: Final[dict[bytes, FieldSet]] = {}


def shared(fields: FieldSet) -> FieldSet:
    """The same set, in one copy for all objects that were written alike: most of a kind's are."""
    key = encode(fields)
    found = _SHARED.get(key)
    if found is None:
        if len(_SHARED) >= SHARED_MAX:
            del _SHARED[next(iter(_SHARED))]
        found = _SHARED[key] = fields
    return found


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """What either has."""
    if not right or left is right:
        return left
    return _union_below(left, right) if left else right


def _union_below(left: FieldSet, right: FieldSet) -> FieldSet:
    result: FieldSet | None = None
    for element, theirs in right.items():
        ours = left.get(element)
        if ours is None:
            joined = theirs
        elif element == SELF or ours is theirs:
            continue
        else:
            joined = _union_node(ours, theirs)
            if joined is ours:
                continue
        if result is None:
            result = dict(left)
        result[element] = joined
    return left if result is None else result


def _union_node(left: FieldSet, right: FieldSet) -> FieldSet:
    if not left:
        return right if not right or SELF in right else {SELF: LEAF, **right}
    if not right:
        return left if SELF in left else {SELF: LEAF, **left}
    return _union_below(left, right)


def minus(left: FieldSet, right: FieldSet) -> FieldSet:
    """What only `left` has, path by path."""
    return (_minus_node(left, right, root=True) or EMPTY) if left and right else left


def _minus_node(left: FieldSet, right: FieldSet, root: bool = False) -> FieldSet | None:
    """None when nothing is left."""
    result: FieldSet | None = None
    small, large = (left, right) if len(left) < len(right) else (right, left)
    for element in small:
        if element == SELF or element not in large:
            continue
        child = _minus_node(left[element], right[element])
        if child is not left[element]:
            result = dict(left) if result is None else result
            if child is None:
                del result[element]
            else:
                result[element] = child
    if root:
        return left if result is None else result
    ours = not left or SELF in left
    if ours and (not right or SELF in right):
        result = dict(left) if result is None else result
        result.pop(SELF, None)
        return result or None
    if result is None:
        return left
    if ours:
        return LEAF if len(result) == 1 else result
    return result or None


def without(left: FieldSet, right: FieldSet) -> FieldSet:
    """`left` without the members of `right` and everything below them."""
    result: FieldSet | None = None
    for element, theirs in right.items():
        ours = left.get(element)
        if ours is None or element == SELF:
            continue
        whole = not theirs or SELF in theirs
        below = EMPTY if whole else without(ours, theirs)
        if below is ours:
            continue
        result = dict(left) if result is None else result
        if whole or not below:
            del result[element]
        else:
            result[element] = LEAF if len(below) == 1 and SELF in below else below
    return left if result is None else result


def common(left: FieldSet, right: FieldSet) -> FieldSet:
    """What both have, path by path."""
    return _common_node(left, right, root=True) or EMPTY


def _common_node(left: FieldSet, right: FieldSet, root: bool = False) -> FieldSet | None:
    result: FieldSet = {}
    for element, ours in left.items():
        if element != SELF and element in right:
            child = _common_node(ours, right[element])
            if child is not None:
                result[element] = child
    both = not root and (not left or SELF in left) and (not right or SELF in right)
    if both:
        return {SELF: LEAF, **result} if result else LEAF
    return result or None


def has(fields: FieldSet, path: tuple[str, ...]) -> bool:
    """Whether this very path is a member."""
    node = fields
    for element in path:
        found = node.get(element)
        if found is None:
            return False
        node = found
    return not node or SELF in node


def of_path(path: tuple[str, ...]) -> FieldSet:
    """The set of one path."""
    node = LEAF
    for element in reversed(path):
        node = {element: node}
    return node


def paths(fields: FieldSet) -> Iterator[tuple[str, ...]]:
    """Every member: those of one parent in order of their names, then what is below each."""
    elements = sorted(element for element in fields if element != SELF)
    for element in elements:
        if not fields[element] or SELF in fields[element]:
            yield (element,)
    for element in elements:
        for path in paths(fields[element]):
            yield (element, *path)


def is_well_formed(fields: Any, depth: int = 0) -> bool:
    """Whether what somebody sent as fieldsV1 is a set."""
    if not isinstance(fields, dict) or depth > DEPTH_MAX:
        return False
    return all(
        isinstance(element, str) and is_valid(element) and is_well_formed(below, depth + 1)
        for element, below in fields.items()
    )
