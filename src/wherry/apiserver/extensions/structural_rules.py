"""Is a schema structural: does it say the type of everything it speaks of, outside of allOf, anyOf, oneOf and not?

Causes come sorted by their text, as Kubernetes sorts them. Source: Kubernetes' "Specifying a structural schema".
"""

from __future__ import annotations

from typing import Any, Final

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.extensions.patterns import PatternError, compile_pattern
from wherry.apiserver.extensions.structural import (
    EMBEDDED,
    INT_OR_STRING,
    LIST_MAP_KEYS,
    LIST_TYPE,
    MAP_TYPE,
    PRESERVE,
    RULES,
)
from wherry.apiserver.registry.validation import field

_JUNCTORS: Final = ("allOf", "anyOf", "oneOf")
_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
_UNTYPED: Final = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_NOT_INSIDE: Final = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "externalDocs": "must be undefined to be structural",
    PRESERVE: "must be false to be structural",
    EMBEDDED: "must be false to be structural",
    INT_OR_STRING: "must be false to be structural",
    LIST_MAP_KEYS: "must be empty to be structural",
    LIST_TYPE: "must be undefined to be structural",
    MAP_TYPE: "must be undefined to be structural",
    RULES: "must be empty to be structural",
}


def check(root: Obj, path: str) -> list[Cause]:
    """All causes, sorted."""
    causes = _place(root, "root", path)
    for key, at in _junctors(root, path):
        causes += _complete(key, root, at, path)
    return sorted(_below(root, path, causes), key=lambda cause: f"{cause.field}: {cause.message}")


def _below(props: Obj, path: str, causes: list[Cause]) -> list[Cause]:
    """Completeness of every place below the root."""
    for child, at in _children(props, path):
        for key, where in _junctors(child, at):
            causes += _complete(key, child, where, at)
        _below(child, at, causes)
    return causes


def _children(props: Obj, path: str) -> list[tuple[Obj, str]]:
    found = [(child, f"{path}.properties[{name}]") for name, child in (props.get("properties") or {}).items()]
    found += [
        (props[key], f"{path}.{key}") for key in ("items", "additionalProperties") if isinstance(props.get(key), dict)
    ]
    return found


def _junctors(props: Obj, path: str) -> list[tuple[Obj, str]]:
    found = [(part, f"{path}.{key}[{i}]") for key in _JUNCTORS for i, part in enumerate(props.get(key) or ())]
    return found + ([(props["not"], f"{path}.not")] if isinstance(props.get("not"), dict) else [])


def _place(props: Obj, level: str, path: str) -> list[Cause]:
    type = props.get("type") or ""
    causes: list[Cause] = []
    if type == "array" and props.get("items") is None:
        causes.append(field.required(f"{path}.items", "must be specified"))
    if isinstance(props.get("items"), dict):
        causes += _place(props["items"], "item", f"{path}.items")
    for name, child in (props.get("properties") or {}).items():
        causes += _place(child, "field", f"{path}.properties[{name}]")
    if props.get("additionalProperties") is not None:
        at = f"{path}.additionalProperties"
        if level == "root":
            causes.append(field.forbidden(at, "must not be used at the root"))
        if isinstance(props["additionalProperties"], dict):
            causes += _place(props["additionalProperties"], "field", at)
    return (
        causes
        + _values(props, path)
        + _extensions(props, path)
        + _typed(props, level, path)
        + _head(props, level, path)
    )


def _values(props: Obj, path: str) -> list[Cause]:
    """The part that judges values; `x-kubernetes-int-or-string` may be spelled out in two ways."""
    causes: list[Cause] = []
    first = (props.get("allOf") or [{}])[0]
    for key in _JUNCTORS:
        if key == "anyOf" and props.get("anyOf") == _INT_OR_STRING:
            continue
        for index, part in enumerate(props.get(key) or ()):
            spelled = key == "allOf" and index == 0 and first.get("anyOf") == _INT_OR_STRING
            causes += _nested(part, f"{path}.{key}[{index}]", spelled)
    if isinstance(props.get("not"), dict):
        causes += _nested(props["not"], f"{path}.not")
    pattern = props.get("pattern")
    if pattern:
        try:
            compile_pattern(pattern)
        except PatternError as error:
            detail = f"must be a valid regular expression, but isn't: {error}"
            causes.append(field.invalid(f"{path}.pattern", pattern, detail))
    return causes


def _nested(props: Obj, path: str, int_or_string: bool = False) -> list[Cause]:
    """A schema inside a junctor: it may judge, not define."""
    shown = {key: value for key, value in props.items() if key != "anyOf"} if int_or_string else props
    causes = _values(shown, path)
    if isinstance(props.get("items"), dict):
        causes += _nested(props["items"], f"{path}.items")
    for name, child in (props.get("properties") or {}).items():
        causes += _nested(child, f"{path}.properties[{name}]")
    causes += [
        field.forbidden(f"{path}.{key}", text)
        for key, text in _NOT_INSIDE.items()
        if props.get(key) not in (None, "", False, [])
    ]
    if "metadata" in (props.get("properties") or {}):
        causes.append(field.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context"))
    return causes


def _extensions(props: Obj, path: str) -> list[Cause]:
    if not props.get(INT_OR_STRING):
        return []
    detail = f"must be false if {INT_OR_STRING} is true"
    return [field.invalid(f"{path}.{key}", True, detail) for key in (PRESERVE, EMBEDDED) if props.get(key)]


def _typed(props: Obj, level: str, path: str) -> list[Cause]:
    type, at = props.get("type") or "", f"{path}.type"
    causes: list[Cause] = []
    if props.get(EMBEDDED):
        detail = f"must be object if {EMBEDDED} is true"
        if type != "object":
            causes.append(field.invalid(at, type, detail) if type else field.required(at, detail))
        if props.get("additionalProperties") is not None:
            detail = f"must not be used if {EMBEDDED} is set"
            causes.append(field.forbidden(f"{path}.additionalProperties", detail))
        if not props.get(PRESERVE) and not props.get("properties"):
            detail = f"must not be empty if {EMBEDDED} is true without {PRESERVE}"
            causes.append(field.required(f"{path}.properties", detail))
    elif not type and not props.get(INT_OR_STRING) and not props.get(PRESERVE):
        causes.append(field.required(at, _UNTYPED[level]))
    if level == "root" and type and type != "object":
        causes.append(field.invalid(at, type, "must be object at the root"))
    return causes


def _head(props: Obj, level: str, path: str) -> list[Cause]:
    """apiVersion, kind and metadata are what they are; only name and generateName may be narrowed."""
    fields = props.get("properties") or {}
    whole = level == "root" or bool(props.get(EMBEDDED))
    causes: list[Cause] = []
    for key in ("kind", "apiVersion"):
        if whole and key in fields and fields[key].get("type") != "string":
            at = f"{path}.properties[{key}].type"
            causes.append(field.invalid(at, fields[key].get("type") or "", "must be string"))
    metadata = fields.get("metadata")
    if metadata is None:
        return causes
    at = f"{path}.properties[metadata]"
    if whole and metadata.get("type") != "object":
        causes.append(field.invalid(f"{at}.type", metadata.get("type") or "", "must be object"))
    if level == "root" and not _narrows_names(metadata):
        detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        causes.append(field.forbidden(at, detail))
    return causes


def _narrows_names(metadata: Obj) -> bool:
    named = (metadata.get("properties") or {}).keys()
    return named <= {"name", "generateName"} and metadata.keys() <= {"type", "properties", "description"}


def _complete(part: Any, outside: Obj, path: str, root_path: str) -> list[Cause]:
    """What a junctor speaks of is also said outside of it."""
    causes: list[Cause] = []
    for name, child in (part.get("properties") or {}).items():
        within = (outside.get("properties") or {}).get(name)
        if within is None and isinstance(outside.get("additionalProperties"), dict):
            within = outside["additionalProperties"]
        at = f"{path}.properties[{name}]"
        if within is None:
            causes.append(field.required(f"{root_path}.properties[{name}]", f"because it is defined in {at}"))
        else:
            causes += _complete(child, within, at, f"{root_path}.properties[{name}]")
    if isinstance(part.get("items"), dict):
        within = outside.get("items")
        if within is None:
            causes.append(field.required(f"{root_path}.items", f"because it is defined in {path}.items"))
        else:
            causes += _complete(part["items"], within, f"{path}.items", f"{root_path}.items")
    for key, at in _junctors(part, path):
        causes += _complete(key, outside, at, root_path)
    return causes
