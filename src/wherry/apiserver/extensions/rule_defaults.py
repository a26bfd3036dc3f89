"""Do the defaults in a schema keep its rules? Asked when the definition is written, once its rules are known to compile.

A default is looked at by itself, with what it does not say filled in; transition rules have nothing to compare it with.
"""

from __future__ import annotations

from collections.abc import Iterator

from wherry.api.errors import Cause
from wherry.apiserver.drafts import draft
from wherry.apiserver.extensions.defaulting import default
from wherry.apiserver.extensions.rule_tree import Tree, branch_of
from wherry.apiserver.extensions.structural import Node


def broken_defaults(node: Node, path: str) -> Iterator[Cause]:
    """What the rules have against each default below `path`."""
    if not node.defaults_below:
        return
    if node.has_default and (branch := branch_of(node)) is not None:
        holder = {"value": draft(node.default)}
        default(holder, Node({"type": "object", "properties": {"value": node.props}}))
        yield from Tree(branch).validate_alone(holder["value"], f"{path}.default")
    for name, child in node.fields.items():
        yield from broken_defaults(child, f"{path}.properties[{name}]")
    if node.items is not None:
        yield from broken_defaults(node.items, f"{path}.items")
    if node.values is not None:
        yield from broken_defaults(node.values, f"{path}.additionalProperties")
