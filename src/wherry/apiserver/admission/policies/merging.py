"""An ApplyConfiguration merged into the object, by the shape of its kind: as server-side apply merges, without owners."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wherry.api.types import Obj
from wherry.apiserver.admission.forms import Form
from wherry.apiserver.admission.request import World
from wherry.apiserver.apply.configuration import problems
from wherry.apiserver.apply.merging import merge
from wherry.apiserver.apply.shape import DEDUCED, FIELDS, ITEMS, LEAF, Shape, whole_shape


class NotMergeable(ValueError):
    """What the expression gave does not fit the kind."""


def merged(live: Obj, configuration: Obj, form: Form, world: World) -> Any:
    """`live` is the object in the form's version. Raises NotMergeable."""
    served = world.served.get(form.resource.gvr)
    schema = (served.schema if served is not None else None) or world.scheme.schema(form.resource)
    shape = whole_shape(schema, {})
    wanted = {"apiVersion": live["apiVersion"], "kind": live["kind"], **configuration}
    if why := problems(wanted, shape):
        raise NotMergeable(f"error applying patch: failed to convert patch object to typed object: {why}")
    whole = sorted(_wholes(wanted, shape, ""))
    if whole:
        text = f"may not mutate atomic arrays, maps or structs: {', '.join(whole)}"
        raise NotMergeable(f"error applying patch: invalid ApplyConfiguration: {text}")
    return merge(live, wanted, shape)


def _wholes(value: Any, shape: Shape, path: str) -> Iterator[str]:
    """Paths of lists and maps that can only be replaced as a whole, which a policy must not do by accident."""
    if shape.kind == LEAF:
        if shape.container and isinstance(value, list | dict):
            yield path
    elif shape.kind == FIELDS and isinstance(value, dict):
        for name, each in value.items():
            child = shape.child(name)
            if child is not None:
                yield from _wholes(each, child[1], f"{path}.{name}")
    elif shape.kind == ITEMS and isinstance(value, list):
        assert shape.item is not None
        for each in value:
            yield from _wholes(each, shape.item, f"{path}[]")
    elif shape.kind == DEDUCED and isinstance(value, list):
        yield path
