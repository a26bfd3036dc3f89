"""x-kubernetes-validations: rules of a schema in the Common Expression Language.

`problems` is asked when a definition is written, `rules` once per published version; the validator it gives is asked for
every write of an object. The work is in `rule_checks.py`, `rule_defaults.py` and `rule_tree.py`, and CEL itself in
`wherry.cel`, which is loaded with the first definition that has rules.
"""

from __future__ import annotations

from typing import Any, Protocol

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.extensions.structural import RULES, Node

_CHILDREN = ("items", "additionalProperties", "allOf")


class Validator(Protocol):
    """The compiled rules of one version of a definition."""

    def validate(self, obj: Obj, old: Obj | None, root: Node) -> list[Cause]:
        """What the rules have against `obj`; `old` is what is stored, None for a create. `root` is the schema, or the part
        of it (only `status`) that this write touches."""
        ...

    def warnings(self, obj: Obj) -> list[str]:
        """What they have against the object they just validated, and forgive because it was so before."""
        ...


def problems(schema: Any, path: str) -> list[Cause]:
    """What is wrong with the rules in an openAPIV3Schema at `path` of a definition."""
    if not isinstance(schema, dict) or not _has_rules(schema):
        return []
    from wherry.apiserver.extensions.rule_checks import check
    from wherry.apiserver.extensions.rule_defaults import broken_defaults

    return check(schema, path) or list(broken_defaults(Node(schema), path))


def rules(root: Node) -> Validator | None:
    """None: the schema has no rules."""
    if not _has_rules(root.props):
        return None
    from wherry.apiserver.extensions.rule_tree import Tree, branch_of

    branch = branch_of(root, root=True)
    return Tree(branch) if branch is not None else None


def _has_rules(props: Any) -> bool:
    if isinstance(props, list):
        return any(map(_has_rules, props))
    if not isinstance(props, dict):
        return False
    if props.get(RULES):
        return True
    below = [props.get(name) for name in _CHILDREN]
    return any(map(_has_rules, [*below, *(props.get("properties") or {}).values()]))
