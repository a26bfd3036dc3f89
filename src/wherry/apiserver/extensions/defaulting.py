"""Fill in what the schema has defaults for.

Always true: what has its defaults gets no more. A null where null is not allowed counts as absent. Objects are not made up
in order to have defaults inside: `spec.size` is filled in only where there is a `spec`, or where spec itself has a default.
Source: Kubernetes' "Defaulting" and "Defaulting and Nullable".
"""

from __future__ import annotations

from typing import Any

from wherry.api.types import Obj
from wherry.apiserver.drafts import draft
from wherry.apiserver.extensions.structural import TYPE_META, Node


def default(obj: Obj, root: Node) -> None:
    """Change the private `obj` in place."""
    _object(obj, root, whole=True)


def _value(value: Any, node: Node) -> None:
    if isinstance(value, dict):
        _object(value, node, node.embedded)
    elif isinstance(value, list) and node.items is not None:
        items = node.items
        for index, item in enumerate(value):
            if item is None and not items.nullable and items.has_default:
                value[index] = item = draft(items.default)
            _value(item, items)


def _object(obj: Obj, node: Node, whole: bool) -> None:
    for name, field in node.fields.items():
        if whole and name in TYPE_META:
            continue
        if name in obj:
            if obj[name] is None and not field.nullable:
                if field.has_default:
                    obj[name] = draft(field.default)
                else:
                    del obj[name]
                    continue
        elif field.has_default:
            obj[name] = draft(field.default)
        else:
            continue
        _value(obj[name], field)
    values = node.values
    if values is None:
        return
    for name in [name for name in obj if name not in node.fields]:
        if obj[name] is None and not values.nullable:
            if not values.has_default:
                del obj[name]
                continue
            obj[name] = draft(values.default)
        _value(obj[name], values)
