"""Are the defaults of a structural schema good: known to the schema, valid by it?

Source: Kubernetes' "Defaulting": defaults are pruned and validated when the
definition is written.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.drafts import draft
from wherry.apiserver.extensions.defaulting import default
from wherry.apiserver.extensions.pruning import prune
from wherry.apiserver.extensions.structural import Node
from wherry.apiserver.extensions.structure_rules import duplicates, embedded
from wherry.apiserver.extensions.values import NOWHERE, validate
from wherry.apiserver.registry.validation import field


def check(root: Obj, path: str) -> list[Cause]:
    """Causes of all defaults, in the order of the schema."""
    return _below(Node(root), path)


def _below(node: Node, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if node.has_default:
        causes += _default(node, f"{path}.default")
    for name, child in node.fields.items():
        causes += _below(child, f"{path}.properties[{name}]")
    if node.items is not None:
        causes += _below(node.items, f"{path}.items")
    if node.values is not None:
        causes += _below(node.values, f"{path}.additionalProperties")
    return causes


def _default(node: Node, path: str) -> list[Cause]:
    value = draft(node.default)
    if _unknown(value, node):
        return [field.invalid(path, node.default, "must not have unknown fields")]
    _fill(value, node)
    # Kubernetes looks at the value by itself: its paths begin at the default.
    causes = validate(value, node) + embedded(value, node, root=False) + duplicates(value, node)
    return [replace(cause, field=_at(path, cause.field)) for cause in causes]


def _at(path: str, within: str) -> str:
    if not within or within == NOWHERE:
        return within or path
    return f"{path}{within}" if within.startswith("[") else f"{path}.{within}"


def _unknown(value: Any, node: Node) -> list[str]:
    return prune({"value": value}, _around(node))


def _fill(value: Any, node: Node) -> None:
    default({"value": value}, _around(node))


def _around(node: Node) -> Node:
    return Node({"type": "object", "properties": {"value": {k: v for k, v in node.props.items() if k != "default"}}})
