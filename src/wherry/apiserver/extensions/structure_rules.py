"""What a schema demands of a value beyond OpenAPI: sets and maps without duplicates, embedded objects that are whole.

Source: Kubernetes' "Merge strategy" markers and x-kubernetes-embedded-resource.
"""

from __future__ import annotations

from typing import Any

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.extensions.structural import Node
from wherry.apiserver.extensions.values import key_of
from wherry.apiserver.registry.validation import field


def duplicates(value: Any, node: Node, path: str = "") -> list[Cause]:
    """Lists of type set and map, everywhere below."""
    causes: list[Cause] = []
    if not node.keyed_below:
        return causes
    if isinstance(value, list) and node.items is not None:
        if node.list_type in ("set", "map"):
            causes += _repeated(value, node, path)
        for index, item in enumerate(value):
            causes += duplicates(item, node.items, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, child in value.items():
            below = node.fields.get(name) or node.values
            if below is not None and isinstance(child, dict | list):
                causes += duplicates(child, below, f"{path}.{name}" if path else name)
    return causes


def _repeated(value: list[Any], node: Node, path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[Any] = set()
    for index, item in enumerate(value):
        if node.list_type == "map":
            if not isinstance(item, dict):
                continue  # validation says that
            key: Any = key_of(item, node)
            shown: Any = {name: item[name] for name in node.keys if name in item}
        else:
            key, shown = field.show(item), item
        if key in seen:
            causes.append(field.duplicate(f"{path}[{index}]", shown))
        seen.add(key)
    return causes


def embedded(value: Any, node: Node, path: str = "", root: bool = True) -> list[Cause]:
    """apiVersion, kind and metadata of embedded objects; the object itself is the registry's business."""
    causes: list[Cause] = []
    if not node.embedded_below:
        return causes
    if isinstance(value, list) and node.items is not None:
        for index, item in enumerate(value):
            causes += embedded(item, node.items, f"{path}[{index}]", False)
    elif isinstance(value, dict):
        if node.embedded and not root:
            causes += _whole(value, path)
        for name, child in value.items():
            below = node.fields.get(name) or node.values
            if below is not None and isinstance(child, dict | list):
                causes += embedded(child, below, f"{path}.{name}" if path else name, False)
    return causes


def _whole(obj: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for key in ("apiVersion", "kind"):
        value = obj.get(key)
        if not value:
            causes.append(field.required(f"{path}.{key}", "must not be empty"))
        elif not isinstance(value, str):
            causes.append(field.invalid(f"{path}.{key}", value, "must be a string"))
    metadata = obj.get("metadata")
    if metadata is None:
        return causes
    if not isinstance(metadata, dict):
        return [*causes, field.invalid(f"{path}.metadata", metadata, "must be an object")]
    wrong = _mistyped(metadata, f"{path}.metadata")
    if wrong:
        return causes + wrong
    if metadata.get("name"):
        causes += field.each_invalid(f"{path}.metadata.name", metadata["name"], names.path_segment(metadata["name"]))
    return causes + field.labels(metadata.get("labels"), f"{path}.metadata.labels")


def _mistyped(metadata: Obj, path: str) -> list[Cause]:
    """Fields of metadata that are not of their type."""
    causes = [
        field.invalid(f"{path}.{key}", metadata[key], "must be a string")
        for key in ("name", "generateName", "namespace", "uid", "resourceVersion")
        if not isinstance(metadata.get(key, ""), str)
    ]
    for key in ("labels", "annotations"):
        value = metadata.get(key) or {}
        if not isinstance(value, dict):
            causes.append(field.invalid(f"{path}.{key}", value, "must be an object"))
        elif not all(isinstance(each, str) for each in value.values()):
            causes.append(field.invalid(f"{path}.{key}", value, "values must be strings"))
    return causes
