"""Merging what is applied into what is there, by the shape of the kind (structured-merge-diff's rules).

    leaves         the applied value
    maps, structs  name by name
    lists of type map or set   element by element: applied elements in their order, the others where they stood
Inputs are never changed; unchanged parts are shared with the live object.
"""

from __future__ import annotations

from typing import Any

from wherry.apiserver.apply.differences import indexed
from wherry.apiserver.apply.path_elements import NoElement, member
from wherry.apiserver.apply.shape import DEDUCED, FIELDS, ITEMS, SET, Shape


def merge(live: Any, applied: Any, shape: Shape) -> Any:
    """`applied` has been checked against `shape`."""
    if applied is None or live is None:
        return applied
    kind = shape.kind
    if kind == FIELDS or (kind == DEDUCED and isinstance(applied, dict)):
        if not isinstance(live, dict) or not applied:
            return live if isinstance(live, dict) and live else applied
        result = dict(live)
        for name, value in applied.items():
            child = shape.child(name)
            if child is not None and name in live:
                result[name] = merge(live[name], value, child[1])
            else:
                result[name] = value
        return result
    if kind in (ITEMS, SET) and isinstance(live, list) and live:
        return _merge_elements(live, applied, shape) if applied else live
    return applied


def _merge_elements(live: list[Any], applied: list[Any], shape: Shape) -> list[Any]:
    """Both lists woven together. An element both have stands where the applied list wants it."""
    item = shape.item
    assert item is not None
    ours, theirs = indexed(live, shape), indexed(applied, shape)
    left = [(_name(value, shape), value) for value in live]
    right = list(theirs)
    shared = [element for element in right if element in ours]
    done: set[str] = set()
    result: list[Any] = []
    at = place = turn = 0

    def take(element: str) -> None:
        values = ours.get(element, ())
        applied_value = theirs[element][0]
        result.append(merge(values[0], applied_value, item) if len(values) == 1 else applied_value)
        done.add(element)

    while at < len(left) or place < len(right):
        if at < len(left):
            element, value = left[at]
            if element not in theirs:
                result.append(value)
                at += 1
                continue
            more = place < len(right)
            if more and element != right[place] and turn < len(shared) and element != shared[turn]:
                at += 1  # the applied list wants it later
                continue
            if element in done or (more and element == right[place]):
                at += 1
        if place < len(right):
            element = right[place]
            take(element)
            place += 1
            if turn < len(shared) and shared[turn] == element:
                turn += 1
    return result


def _name(value: Any, shape: Shape) -> str:
    """The element's name; "" for one that has none and is nobody's."""
    if shape.kind == SET:
        return "" if isinstance(value, dict | list) else member(value)
    try:
        return shape.element(value)
    except NoElement:
        return ""
