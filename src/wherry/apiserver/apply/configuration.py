"""What somebody applies: is it of the kind's shape, and which fields does it speak of?

Messages are structured-merge-diff's; all that is wrong is told at once, in the order of the document.
"""

from __future__ import annotations

from typing import Any, Final

from wherry.api.structure import DEPTH_MAX
from wherry.apiserver.apply.differences import indexed
from wherry.apiserver.apply.field_set import EMPTY, LEAF, FieldSet, union
from wherry.apiserver.apply.path_elements import SELF, NoElement, member, shown, shown_path
from wherry.apiserver.apply.shape import DEDUCED, FIELDS, ITEMS, SET, Shape
from wherry.apiserver.apply.shape import LEAF as WHOLE

PROBLEMS_MAX: Final = 100


def problems(value: Any, shape: Shape) -> str:
    """Why `value` cannot be applied, "" when it can."""
    found: list[str] = []
    _check(value, shape, (), found)
    return found[0] if len(found) == 1 else "\n  ".join(["errors:", *found]) if found else ""


def _check(value: Any, shape: Shape, path: tuple[str, ...], found: list[str]) -> None:
    if value is None or len(found) >= PROBLEMS_MAX:
        return

    def wrong(text: str) -> None:
        found.append(f"{shown_path(path)}: {text}" if path else text)

    if len(path) > DEPTH_MAX:
        wrong("nested too deeply")
    elif shape.kind == FIELDS or shape.container == "map":
        if shape.kind == DEDUCED:
            return
        if not isinstance(value, dict):
            wrong(f"expected map, got {_go(value)}")
        elif shape.declared or shape.kind == FIELDS:
            _check_fields(value, shape, path, found)
    elif shape.container == "list":
        if not isinstance(value, list):
            wrong(f"expected list, got {_go(value)}")
        elif shape.kind != WHOLE:
            _check_elements(value, shape, path, found)
    else:
        _check_scalar(value, shape.scalar, wrong)


def _check_fields(value: dict[str, Any], shape: Shape, path: tuple[str, ...], found: list[str]) -> None:
    for name, below in value.items():
        child = shape.child(name)
        if child is None:
            found.append(f"{shown_path((*path, f'f:{name}'))}: field not declared in schema")
            return
        _check(below, child[1], (*path, child[0]), found)


def _check_elements(value: list[Any], shape: Shape, path: tuple[str, ...], found: list[str]) -> None:
    item = shape.item
    assert item is not None
    seen: set[str] = set()
    for index, each in enumerate(value):
        try:
            element = shape.element(each) if shape.kind == ITEMS else _set_element(each)
        except NoElement as error:
            found.append(f"{shown_path(path)}: element {index}: {error}")
            return
        if element in seen:
            found.append(f"{shown_path(path)}: duplicate entries for key {shown(element)}")
        seen.add(element)
        _check(each, item, (*path, element), found)


def _set_element(value: Any) -> str:
    if value is None:
        raise NoElement("associative list without keys has an element that's an explicit null")
    if isinstance(value, dict):
        raise NoElement("associative list without keys has an element that's a map type")
    if isinstance(value, list):
        raise NoElement("not supported: associative list with lists as elements")
    return member(value)


def _check_scalar(value: Any, wanted: str, wrong: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if wanted == "numeric" and not number:
        wrong(f"expected numeric (int or float), got {_go_type(value)}")
    elif wanted == "string" and not isinstance(value, str):
        wrong(f"expected string, got &value.valueUnstructured{{Value:{_go(value)}}}")
    elif wanted == "boolean" and not isinstance(value, bool):
        wrong(f"expected boolean, got {_go(value)}")
    elif wanted == "scalar" and not isinstance(value, str | int | float):
        wrong(f"expected any scalar, got {_go(value)}")


def _go_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    return "map[string]interface {}" if isinstance(value, dict) else "[]interface {}"


def _go(value: Any, depth: int = 0) -> str:
    """As structured-merge-diff prints a value; what lies deeper than anything does in an object is left out."""
    if depth > DEPTH_MAX and isinstance(value, dict | list):
        return "..."
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_go(below, depth + 1)}" for key, below in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_go(below, depth + 1) for below in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else "null" if value is None else str(value)


def fields_of(value: Any, shape: Shape) -> FieldSet:
    """The fields a (valid) configuration speaks of: leaves, empty maps, and elements of lists with what is in them."""
    return _node(value, shape) if isinstance(value, dict) else EMPTY


def _node(value: Any, shape: Shape) -> FieldSet:
    """What is below `value`; whether itself belongs is its parent's to say. A leaf has nothing below."""
    result: FieldSet = {}
    if shape.kind in (FIELDS, DEDUCED) and isinstance(value, dict):
        for name, below in value.items():
            child = shape.child(name)
            if child is None:
                continue
            element, deeper = child
            node = _node(below, deeper)
            itself = not shape.declared or below is None or below == {} or _is_leaf(below, deeper)
            if itself or node:
                result[element] = _marked(node) if itself else node
    elif shape.kind in (ITEMS, SET) and isinstance(value, list):
        item = shape.item
        assert item is not None
        for element, values in indexed(value, shape).items():
            result[element] = _marked(_node(values[0], item)) if len(values) == 1 else LEAF
    return result


def _is_leaf(value: Any, shape: Shape) -> bool:
    return shape.kind == WHOLE or (shape.kind == DEDUCED and not isinstance(value, dict))


def _marked(node: FieldSet) -> FieldSet:
    return {SELF: LEAF, **node} if node else LEAF


def named_as_members(fields: FieldSet, shape: Shape | None) -> FieldSet:
    """The set with every declared field in it that leads to a member, so that removing all of a struct's fields removes
    the struct."""
    result = fields
    for element, node in fields.items():
        if element == SELF:
            continue
        child = _below(element, shape)
        named = named_as_members(node, child) if node else node
        declared = shape is not None and shape.declared and element.startswith("f:") and child is not None
        if declared and named and SELF not in named:
            named = {SELF: LEAF, **named}
        if named is not node:
            result = {**result, element: named}
    return result


def _below(element: str, shape: Shape | None) -> Shape | None:
    if shape is None:
        return None
    if element.startswith("f:"):
        child = shape.child(element[2:]) if shape.kind in (FIELDS, DEDUCED) else None
        return child[1] if child is not None else None
    return shape.item


def joined(sets: list[FieldSet]) -> FieldSet:
    """All of them."""
    result = EMPTY
    for each in sets:
        result = union(result, each)
    return result
