"""CEL types of built-in and custom kinds, for the type checking of policies: fields a kind does not have are found early.

Made from the kinds' schemas as far as an expression looks into them; a schema may contain itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wherry.api.schema import Schema
from wherry.cel import BOOL, DOUBLE, DYN, INT, STRING, Field, ObjectType, Type, list_of, map_of

_SCALARS = {"string": STRING, "quantity": STRING, "integer": INT, "number": DOUBLE, "boolean": BOOL}
_OF_EVERY_OBJECT = {"apiVersion": Field(STRING, "apiVersion"), "kind": Field(STRING, "kind")}


class _Fields(Mapping[str, Field]):
    """The fields of an object, their types made when they are asked for."""

    def __init__(self, name: str, fields: Mapping[str, Schema], more: Mapping[str, Field]) -> None:
        self._name = name
        self._fields = fields
        self._known = dict(more)

    def __getitem__(self, name: str) -> Field:
        if name not in self._known:
            self._known[name] = Field(type_of(self._fields[name], f"{self._name}.{name}"), name)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._known, **self._fields})

    def __len__(self) -> int:
        return len({**self._known, **self._fields})


def type_of(schema: Schema, name: str = "Object", whole: bool = False) -> Type:
    """`whole`: an object with apiVersion and kind, whether its schema names them or not."""
    if schema.fields is not None:
        return ObjectType(schema.ref or name, _Fields(name, schema.fields, _OF_EVERY_OBJECT if whole else {}))
    if schema.items is not None:
        return list_of(type_of(schema.items, f"{name}[]"))
    if schema.values is not None:
        return map_of(STRING, type_of(schema.values, f"{name}[]"))
    return _SCALARS.get(schema.type, DYN)
