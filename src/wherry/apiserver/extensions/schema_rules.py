"""What is wrong with an openAPIV3Schema: what must not be said, how lists and maps merge, and that it is structural.

Source: Kubernetes' "Specifying a structural schema", "Merge strategy"; texts as recorded. Whether its defaults are good is
looked at when all this is fine (`default_rules.py`), and CEL rules by `rules.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.extensions import default_rules, rules, structural_rules
from wherry.apiserver.extensions.structural import LIST_MAP_KEYS, LIST_TYPE, MAP_TYPE, PRESERVE
from wherry.apiserver.registry.validation import field

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_SCALARS: Final = ("boolean", "integer", "number", "string")
_UNSUPPORTED: Final = {
    "$ref": "$ref is not supported",
    "$schema": "",
    "id": "id is not supported",
    "additionalItems": "additionalItems is not supported",
    "patternProperties": "patternProperties is not supported",
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
}
_JUNCTORS: Final = ("allOf", "oneOf", "anyOf")
DEPTH_MAX: Final = 100
"""Deeper schemas are refused: every walk over a value is as deep as its schema."""


def schema(root: Obj, path: str) -> list[Cause]:
    """All causes."""
    if _depth(root) > DEPTH_MAX:
        return [field.invalid(path, "", f"must not be nested deeper than {DEPTH_MAX} levels")]
    causes: list[Cause] = []
    if root.get("nullable"):
        causes.append(field.forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    if root.get("default") is not None:
        causes.append(field.forbidden(f"{path}.default", "must not be set"))
    each(root, path, lambda props, at, nested: causes.extend(_place(props, at, nested)))
    if not causes:
        causes = structural_rules.check(root, path)
    if not causes:
        causes = default_rules.check(root, path)
    return causes or rules.problems(root, path)


Visit = Callable[[Obj, str, bool], None]


def each(props: Obj, path: str, visit: Visit, nested: bool = False) -> None:
    """Visit a schema and all in it; `nested`: inside allOf, anyOf, oneOf or not, where only values are judged."""
    visit(props, path, nested)
    for key in ("properties", "patternProperties", "definitions"):
        children = props.get(key)
        for name, child in children.items() if isinstance(children, dict) else ():
            each(child, f"{path}.{key}[{name}]", visit, nested)
    for key in ("items", "additionalProperties", "additionalItems"):
        if isinstance(props.get(key), dict):
            each(props[key], f"{path}.{key}", visit, nested)
    for key in _JUNCTORS:
        for index, child in enumerate(props.get(key) or ()):
            each(child, f"{path}.{key}[{index}]", visit, True)
    if isinstance(props.get("not"), dict):
        each(props["not"], f"{path}.not", visit, True)


def _depth(props: Any, depth: int = 0) -> int:
    """How deep it nests, as far as it matters."""
    if depth > DEPTH_MAX * 3 or not isinstance(props, dict | list):
        return depth // 2
    children = props.values() if isinstance(props, dict) else props
    return max((_depth(child, depth + 1) for child in children), default=depth // 2)


def _place(props: Obj, path: str, nested: bool) -> list[Cause]:
    causes = [
        field.forbidden(f"{path}.{key}", text)
        for key, text in _UNSUPPORTED.items()
        if text and props.get(key) not in (None, "")
    ]
    type = props.get("type") or ""
    if type == "null":
        causes.append(field.forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative"))
    elif type and type not in _TYPES:
        causes.append(field.not_supported(f"{path}.type", type, _TYPES))
    if isinstance(props.get("items"), list):
        causes.append(field.forbidden(f"{path}.items", "items must be a schema object and not an array"))
    if props.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        causes.append(field.forbidden(f"{path}.uniqueItems", detail))
    more = props.get("additionalProperties")
    if more is not None and more is not True and props.get("properties"):
        detail = "additionalProperties and properties are mutual exclusive"
        causes.append(field.forbidden(f"{path}.additionalProperties", detail))
    if props.get(PRESERVE) is False:
        causes.append(field.invalid(f"{path}.{PRESERVE}", False, "must be true or undefined"))
    return causes + ([] if nested else _map_type(props, path) + _list_type(props, path))


def _map_type(props: Obj, path: str) -> list[Cause]:
    kind = props.get(MAP_TYPE)
    if kind is None:
        return []
    causes = _must_be("object", props, path, f"must be object if {MAP_TYPE} is specified")
    if kind not in ("atomic", "granular"):
        causes.append(field.not_supported(f"{path}.{MAP_TYPE}", kind, ("atomic", "granular")))
    return causes


def _must_be(type: str, props: Obj, path: str, detail: str) -> list[Cause]:
    said = props.get("type") or ""
    if said == type:
        return []
    return [field.invalid(f"{path}.type", said, detail) if said else field.required(f"{path}.type", detail)]


def _list_type(props: Obj, path: str) -> list[Cause]:
    kind, keys, at = props.get(LIST_TYPE), props.get(LIST_MAP_KEYS) or [], f"{path}.{LIST_TYPE}"
    causes: list[Cause] = []
    if kind is not None:
        causes += _must_be("array", props, path, f"must be array if {LIST_TYPE} is specified")
        if kind not in ("atomic", "set", "map"):
            causes.append(field.not_supported(at, kind, ("atomic", "set", "map")))
    if keys and kind != "map":
        detail = f"must be map if {LIST_MAP_KEYS} is non-empty"
        causes.append(field.required(at, detail) if kind is None else field.invalid(at, kind, detail))
    if kind == "map":
        causes += _list_map(props, keys, path)
    elif kind == "set":
        causes += _list_set(props, path)
    return causes


def _list_map(props: Obj, keys: list[str], path: str) -> list[Cause]:
    at, under = f"{path}.{LIST_MAP_KEYS}", f"{path}.items"
    causes: list[Cause] = []
    if not keys:
        causes.append(field.required(at, f"must not be empty if {LIST_TYPE} is map"))
    items = props.get("items")
    if not isinstance(items, dict):
        return [*causes, field.required(under, f"must have a schema if {LIST_TYPE} is map")]
    causes += _must_be("object", items, under, f"must be object if parent array's {LIST_TYPE} is map")
    fields: Mapping[str, Obj] = items.get("properties") or {}
    if any(key not in fields for key in keys):
        causes.append(field.invalid(at, keys, "entries must all be names of item properties"))
    for index, key in enumerate(keys):
        if keys.index(key) < index:
            causes.append(field.duplicate(f"{at}[{index}]", key))
        elif key in fields:
            causes += _map_key(key, fields[key], items, under)
    return causes


def _map_key(key: str, props: Obj, items: Obj, path: str) -> list[Cause]:
    at = f"{path}.properties[{key}]"
    causes: list[Cause] = []
    if props.get("type") not in _SCALARS:
        detail = f"must be a scalar type if parent array's {LIST_TYPE} is map"
        causes.append(field.invalid(f"{at}.type", props.get("type") or "", detail))
    if key not in (items.get("required") or ()) and props.get("default") is None:
        detail = f"this property is in {LIST_MAP_KEYS}, so it must have a default or be a required property"
        causes.append(field.required(f"{at}.default", detail))
    if props.get("nullable"):
        detail = f"this property is in {LIST_MAP_KEYS}, so it cannot be nullable"
        causes.append(field.forbidden(f"{at}.nullable", detail))
    return causes


def _list_set(props: Obj, path: str) -> list[Cause]:
    items, at = props.get("items"), f"{path}.items"
    if not isinstance(items, dict):
        return [field.required(at, f"must have a schema if {LIST_TYPE} is set")]
    causes: list[Cause] = []
    if items.get("nullable"):
        causes.append(field.forbidden(f"{at}.nullable", "cannot be nullable when x-kubernetes-list-type is set"))
    for type, key in (("array", LIST_TYPE), ("object", MAP_TYPE)):
        if items.get("type") == type and items.get(key) != "atomic":
            detail = f"must be atomic as item of a list with {LIST_TYPE}=set"
            causes.append(field.invalid(f"{at}.{key}", items.get(key), detail))
    return causes
