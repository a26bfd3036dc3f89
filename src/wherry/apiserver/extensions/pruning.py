"""Drop what the schema does not name, and say what that was.

Always true: pruning what was pruned changes nothing. Source: Kubernetes' "Field pruning"; apiVersion, kind and metadata of
the object itself and of embedded resources are always named.
"""

from __future__ import annotations

from typing import Any, Final

from wherry.api.types import Obj
from wherry.apiserver.extensions.structural import TYPE_META, Node

UNKNOWN_MAX: Final = 100
"""Paths listed in one answer, as many as for built-in kinds."""


def prune(obj: Obj, root: Node) -> list[str]:
    """Change the private `obj` in place; the paths of what is gone (`spec.b`, `spec.list[0].x`), at most UNKNOWN_MAX."""
    walk = _Walk()
    walk.fields(obj, root, [], whole=True)
    return walk.unknown


class _Walk:
    def __init__(self) -> None:
        self.unknown: list[str] = []

    def value(self, value: Any, node: Node, path: list[str]) -> None:
        if isinstance(value, dict):
            self.fields(value, node, path, node.embedded)
        elif isinstance(value, list) and node.items is not None:
            for index, item in enumerate(value):
                if isinstance(item, dict | list):
                    self.value(item, node.items, [*path, f"[{index}]"])

    def fields(self, obj: Obj, node: Node, path: list[str], whole: bool) -> None:
        fields, values, keep = node.fields, node.values, node.preserve or node.any_key
        gone = []
        for name, child in obj.items():
            known = fields.get(name)
            if whole and name in TYPE_META:
                continue
            if known is None and values is None:
                if not keep:
                    gone.append(name)
            elif isinstance(child, dict | list):
                below = known if known is not None else values
                assert below is not None
                self.value(child, below, [*path, name if known is not None else f".{name}"])
        for name in gone:
            del obj[name]
            self._tell(path, name)

    def _tell(self, path: list[str], name: str) -> None:
        if len(self.unknown) < UNKNOWN_MAX:
            text = ""
            for part in [*path, name]:
                text += part if part.startswith("[") or not text else "." + part.removeprefix(".")
            self.unknown.append(text)
