"""Types as the checker knows them: what an expression will give, before there are values.

A Type never changes. Two types are compared by `kind`, `name` and `parameters`; `max_size` (characters, bytes, elements or
entries at most, None for no limit known) serves cost estimates only and never makes types differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

Convert: TypeAlias = Callable[[Any], Any]


class Type:
    """
    kind        dyn, null, bool, int, uint, double, string, bytes, timestamp, duration, list, map, type, optional, opaque,
                object, parameter, error
    name        of an opaque or object type or a parameter; else what messages call the kind
    parameters  of a list, map, type or optional
    """

    __slots__ = ("kind", "max_size", "name", "parameters")

    def __init__(
        self, kind: str, name: str = "", parameters: tuple[Type, ...] = (), max_size: int | None = None
    ) -> None:
        self.kind = kind
        self.name = name or kind
        self.parameters = parameters
        self.max_size = max_size

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Type)
            and self.kind == other.kind
            and self.name == other.name
            and self.parameters == other.parameters
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.name, self.parameters))

    def __str__(self) -> str:
        if not self.parameters:
            return self.name
        return f"{self.name}({', '.join(map(str, self.parameters))})"

    def __repr__(self) -> str:
        return f"<Type {self}>"


class Field(NamedTuple):
    """A field of an object type: its type, and its name on the wire, which the name in an expression may escape."""

    type: Type
    wire: str


class ObjectType(Type):
    """An object with known fields, by the names expressions use."""

    __slots__ = ("fields",)

    def __init__(self, name: str, fields: Mapping[str, Field]) -> None:
        super().__init__("object", name)
        self.fields = fields


DYN: Final = Type("dyn")
NULL: Final = Type("null")
BOOL: Final = Type("bool")
INT: Final = Type("int")
UINT: Final = Type("uint")
DOUBLE: Final = Type("double")
STRING: Final = Type("string")
BYTES: Final = Type("bytes")
TIMESTAMP: Final = Type("timestamp")
DURATION: Final = Type("duration")
ERROR: Final = Type("error", "!error!")
TYPE: Final = Type("type")
A: Final = Type("parameter", "A")
B: Final = Type("parameter", "B")


def list_of(element: Type, max_size: int | None = None) -> Type:
    return Type("list", "list", (element,), max_size)


def map_of(key: Type, value: Type, max_size: int | None = None) -> Type:
    return Type("map", "map", (key, value), max_size)


def optional_of(value: Type) -> Type:
    return Type("optional", "optional_type", (value,))


def type_of(value: Type) -> Type:
    return Type("type", "type", (value,))


def opaque(name: str) -> Type:
    """A type of a library: `kubernetes.Quantity`, `net.IP`, ..."""
    return Type("opaque", name)
