"""How ownership sees one place of a kind's schema: a leaf that is owned whole, or something owned part by part.

Theory (Kubernetes' "Server-Side Apply", merge strategy markers):
    scalars, atomic lists, atomic maps and structs     LEAF
    structs and granular maps                          FIELDS, by name
    lists of type map                                  ITEMS, by the values of their keys
    lists of type set                                  SET, by element
    what has no schema                                 DEDUCED: maps by name, everything else a leaf
A list without a type merges when its strategic merge patch does, else it is atomic. Shapes are made when first needed,
shared by all objects of a kind, and never change.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from wherry.api.schema import Definitions, Schema
from wherry.apiserver.apply.always_written import BUILT_IN, zeros
from wherry.apiserver.apply.path_elements import NoElement, keyed

LEAF, FIELDS, ITEMS, SET, DEDUCED = "leaf", "fields", "items", "set", "deduced"
_SERVER_OWNED: Final = frozenset(
    {"name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields",
     "resourceVersion"}
)  # fmt: skip
"""Of an object's own metadata: nobody owns them."""
_TYPE_META: Final = frozenset({"apiVersion", "kind"})
_NOBODY: Final[frozenset[str]] = frozenset()
_KEY_ZEROS: Final[dict[str, Any]] = {"string": "", "integer": 0, "number": 0, "boolean": False}
_PROTOCOL: Final = ("protocol", "TCP")
"""The one key of built-in lists that has a default: ports of containers and of Services."""


class Shape:
    """
    kind       one of the words above
    container  of a LEAF: "list", "map" or "" for scalars
    scalar     "string", "numeric", "boolean" or "scalar" (any of them); "" for containers
    declared   of FIELDS: whether the names are fixed (a struct) rather than anything (a map)
    zeros      of a struct: see `always_written`
    item       of ITEMS and SET: the shape of an element
    keys       of ITEMS: names of its keys, each with what it is when left out (None: it must be there)
    fields     what `child` has found so far, for those in a hurry; None for what nobody can own
    plain      of a map: whether all its values are leaves
    """

    __slots__ = (
        "_known", "_schema", "_values", "container", "declared", "fields", "item", "keys", "kind", "plain", "scalar",
        "zeros",
    )  # fmt: skip

    def __init__(self, schema: Schema, known: dict[int, Shape], unowned: frozenset[str] = _NOBODY) -> None:
        self._schema = schema
        self._known = known
        self._values: Shape | None = None
        self.fields: dict[str, tuple[str, Shape] | None] = dict.fromkeys(unowned)
        self.kind = _kind(schema)
        self.container = "list" if schema.type == "array" else "map" if schema.type in ("object", "any") else ""
        self.scalar = "" if self.container else _SCALARS.get(schema.type, "scalar")
        self.declared = self.kind == FIELDS and schema.fields is not None
        self.zeros = zeros(schema) if self.declared else {}
        self.item: Shape | None = None
        self.keys: tuple[tuple[str, Any], ...] = ()
        if schema.items is not None and self.kind in (ITEMS, SET):
            self.item = _shape(schema.items, known)
            self.keys = tuple((name, _key_default(schema.items, name)) for name in _merge_keys(schema))
        if self.kind == FIELDS and schema.values is not None:
            self._values = _shape(schema.values, known)
        elif self.declared and schema.preserves and not schema.ref:
            self._values = _ANYTHING
        self.plain = not self.declared and self._values is not None and self._values.kind == LEAF

    def child(self, name: str) -> tuple[str, Shape] | None:
        """(`f:name`, the shape of that field); None when a struct has no such field, or nobody can own it."""
        if name in self.fields:
            return self.fields[name]
        if self.kind == DEDUCED:
            return f"f:{name}", self
        fields = self._schema.fields
        if fields is not None and name in fields:
            found = self.fields[name] = (sys.intern(f"f:{name}"), _shape(fields[name], self._known))
            return found
        return (f"f:{name}", self._values) if self._values is not None else None

    def element(self, item: Any) -> str:
        """The name of an element of ITEMS. Raises NoElement with what is wrong with it."""
        if item is None:
            raise NoElement("associative list with keys may not have a null element")
        if not isinstance(item, dict):
            raise NoElement("associative list with keys may not have non-map elements")
        values = []
        for name, default in self.keys:
            value = item.get(name, default)
            if value is None and name not in item:
                why = f'element that omits key field "{name}" (and doesn\'t have default value)'
                raise NoElement(f"associative list with keys has an {why}")
            if isinstance(value, dict | list):
                raise NoElement(f'key field "{name}" is no scalar')
            values.append(value)
        return keyed(tuple([name for name, _ in self.keys]), tuple(values))


def whole_shape(schema: Schema, known: dict[int, Shape]) -> Shape:
    """The shape of a kind. `known` remembers shapes of the same definitions."""
    return _shape(schema, known)


def tracked_shape(schema: Schema, known: dict[int, Shape]) -> Shape:
    """The shape of a kind without what nobody owns: its name, its uid, its versions."""
    root = Shape(schema, known, _TYPE_META)
    metadata = (schema.fields or {}).get("metadata")
    if metadata is not None:
        root.fields["metadata"] = ("f:metadata", Shape(metadata, known, _SERVER_OWNED))
        root.zeros = {**root.zeros, "metadata": {}}
    return root


def _shape(schema: Schema, known: dict[int, Shape]) -> Shape:
    shape = known.get(id(schema))
    if shape is None:
        shape = known[id(schema)] = Shape(schema, known)
    return shape


_SCALARS: Final = {"string": "string", "integer": "numeric", "number": "numeric", "boolean": "boolean"}


def _kind(schema: Schema) -> str:
    if schema.type == "array":
        return _list_kind(schema)
    if schema.type not in ("object", "any"):
        return LEAF
    if schema.map_type == "atomic":
        return LEAF
    if schema.fields is not None or schema.values is not None:
        return FIELDS
    return LEAF if schema.ref.startswith(BUILT_IN) else DEDUCED


def _list_kind(schema: Schema) -> str:
    if schema.items is None or schema.list_type == "atomic":
        return LEAF
    if _merge_keys(schema):
        return ITEMS
    merges = schema.list_type == "set" or (not schema.list_type and "merge" in schema.patch_strategy)
    return SET if merges and schema.items.type not in ("object", "any", "array") else LEAF


def _merge_keys(schema: Schema) -> tuple[str, ...]:
    if schema.list_type == "map":
        return schema.list_map_keys
    if not schema.list_type and "merge" in schema.patch_strategy and schema.patch_merge_key:
        return (schema.patch_merge_key,)
    return ()


def _key_default(items: Schema, name: str) -> Any:
    """Required keys of built-in kinds are Go zeros when left out, and then refused by validation."""
    if items.fields is None or name not in items.fields:
        return None
    if not items.ref.startswith(BUILT_IN):
        return items.fields[name].default
    if name == _PROTOCOL[0]:
        return _PROTOCOL[1]
    return _KEY_ZEROS.get(items.fields[name].type)


_ANYTHING: Final = Shape(Schema({}, Definitions({})), {})
"""Of fields that a schema lets through without knowing them."""
