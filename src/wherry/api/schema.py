"""The shape of a value: which fields an object has, how lists merge, what each field is made of.

A Schema is one place in the tree, resolved when first looked into and shared after that; it never changes. It says what
Kubernetes' published definitions say (structure, merge keys, list types, which fields are required) and nothing about
defaults or validity, which belong to the strategies of the API server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from wherry.api.catalogue import Node

_UTIL: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_SPECIAL: Final = {_UTIL: "int-or-string", _QUANTITY: "quantity"}


class Schema:
    """
    type            "object", "array", "string", "integer", "number", "boolean", "int-or-string", "quantity" or "any"
    format          int32, int64, double, byte, date-time or ""
    fields          of an object with known fields, else None (maps, free-form objects, scalars)
    items           element of an array, else None
    values          value of a map, else None
    required        names that must be there
    patch_strategy  some of "merge", "retainKeys", "replace"; patch_merge_key "" when there is none
    list_type       "" | "atomic" | "set" | "map", with list_map_keys
    map_type        "" | "atomic" | "granular"
    preserves       fields the schema has not may be here as well (custom resources)
    default         what the value is when it is left out, None where only a strategy knows (built-in kinds)
    ref             name of the definition this is, "" for an inline one
    """

    __slots__ = (
        "_definitions", "_fields", "_items", "_node", "_values", "default", "format", "list_map_keys", "list_type",
        "map_type", "patch_merge_key", "patch_strategy", "preserves", "ref", "required", "type",
    )  # fmt: skip

    def __init__(self, node: Node, definitions: Definitions) -> None:
        ref = node.get("ref", "")
        target = definitions.node(ref) if ref else node
        self.ref: str = ref
        self.type: str = _SPECIAL.get(ref) or target.get("type", "any")
        self.format: str = target.get("format", "")
        self.required: tuple[str, ...] = tuple(target.get("required", ()))
        # A field may say more than the definition it refers to: `strategy` merges with retainKeys.
        merged = {**target, **node} if ref else node
        self.patch_strategy: tuple[str, ...] = tuple(
            filter(None, merged.get("x-kubernetes-patch-strategy", "").split(","))
        )
        self.patch_merge_key: str = merged.get("x-kubernetes-patch-merge-key", "")
        self.list_type: str = merged.get("x-kubernetes-list-type", "")
        self.list_map_keys: tuple[str, ...] = tuple(merged.get("x-kubernetes-list-map-keys", ()))
        self.map_type: str = merged.get("x-kubernetes-map-type", "")
        self.preserves: bool = bool(target.get("x-kubernetes-preserve-unknown-fields"))
        self.default: Any = target.get("default")
        self._node = target
        self._definitions = definitions
        self._fields: Mapping[str, Schema] | None = None
        self._items: Schema | None = None
        self._values: Schema | None = None

    @property
    def fields(self) -> Mapping[str, Schema] | None:
        if self._fields is None and "properties" in self._node:
            self._fields = self._definitions.fields(self.ref, self._node)
        return self._fields

    @property
    def items(self) -> Schema | None:
        if self._items is None and "items" in self._node:
            self._items = Schema(self._node["items"], self._definitions)
        return self._items

    @property
    def values(self) -> Schema | None:
        more = self._node.get("additionalProperties")
        if self._values is None and isinstance(more, dict):
            self._values = Schema(more, self._definitions)
        return self._values

    @property
    def description(self) -> str:
        """What the definition is for; read from the slow part of the catalogue."""
        return self._definitions.description(self.ref)

    def __repr__(self) -> str:
        return f"<Schema {self.ref or self.type}>"


class Definitions:
    """All definitions of one version, and the schemas made from them so far."""

    def __init__(self, nodes: Mapping[str, Node], describe: Any = None) -> None:
        self._nodes = nodes
        self._describe = describe
        self._schemas: dict[str, Schema] = {}
        self._fields: dict[str, Mapping[str, Schema]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def names(self) -> Mapping[str, Node]:
        return self._nodes

    def node(self, name: str) -> Node:
        return self._nodes[name]

    def schema(self, name: str) -> Schema:
        """The shared schema of a definition."""
        schema = self._schemas.get(name)
        if schema is None:
            schema = self._schemas[name] = Schema({"ref": name}, self)
        return schema

    def fields(self, ref: str, node: Node) -> Mapping[str, Schema]:
        """Fields are shared by every place that refers to the same definition; recursion ends here."""
        fields = self._fields.get(ref) if ref else None
        if fields is None:
            fields = {name: Schema(child, self) for name, child in node["properties"].items()}
            if ref:
                self._fields[ref] = fields
        return fields

    def description(self, name: str) -> str:
        if self._describe is None or not name:
            return ""
        text: str = self._describe(name)
        return text
