"""A structural schema as an `api.schema.Schema`: what server-side apply, and whoever else asks for fields, works on.

Made place by place as somebody looks: definitions with ten thousand fields cost a start nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wherry.api.schema import Definitions, Schema
from wherry.api.types import Obj
from wherry.apiserver.extensions.structural import Node

_OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class CustomSchema(Schema):
    """One place; `definitions` are those of the built-in kinds, for metadata. `whole`: a Kubernetes object."""

    __slots__ = ("_place", "_whole")

    def __init__(self, place: Node, definitions: Definitions, whole: bool = False) -> None:
        super().__init__(_own(place), definitions)
        self._place = place
        self._whole = whole or place.embedded

    @property
    def fields(self) -> Mapping[str, Schema] | None:
        if self._fields is None and (self._whole or self._place.fields):
            found: dict[str, Schema] = {
                name: CustomSchema(field, self._definitions) for name, field in self._place.fields.items()
            }
            if self._whole:
                text = Schema({"type": "string"}, self._definitions)
                found |= {
                    "apiVersion": text,
                    "kind": text,
                    "metadata": Schema({"ref": _OBJECT_META}, self._definitions),
                }
            self._fields = found
        return self._fields

    @property
    def items(self) -> Schema | None:
        if self._items is None and self._place.items is not None:
            self._items = CustomSchema(self._place.items, self._definitions)
        return self._items

    @property
    def values(self) -> Schema | None:
        if self._values is None and self._place.values is not None:
            self._values = CustomSchema(self._place.values, self._definitions)
        return self._values


def _own(place: Node) -> Obj:
    """What the place says of itself, not of what is inside."""
    said: Obj = {
        key: value
        for key, value in place.props.items()
        if key.startswith("x-kubernetes-") or key in ("default", "format")
    }
    if place.int_or_string:
        return {**said, "type": "int-or-string"}
    if place.type:
        said["type"] = place.type
    required = [name for name in place.props.get("required") or () if isinstance(name, str)]
    return {**said, "required": required} if required else said
