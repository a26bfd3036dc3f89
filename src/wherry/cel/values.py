"""Values of CEL as Python holds them, and when two of them are equal.

int, double, string, bytes, bool, null, list and map are Python's own (int, float, str, bytes, bool, None, list, dict), so that
what JSON decoding gave is used as it is, without a copy. uint is a subclass of int. Time, optionals, types and the values
of libraries are classes here or there. Python thinks `True == 1`; CEL does not: compare with `equals`, index a map through
`map_key`, and list its keys with `map_keys`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import NoneType
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from wherry.cel.errors import Failure

Value: TypeAlias = Any

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1


class Uint(int):
    """An unsigned integer, 0 to 2^64-1; equal to and hashed as the int of the same amount."""

    __slots__ = ()


class BoolKey:
    """What stands for `true` or `false` as a map's key, since Python would take them for 1 and 0."""

    __slots__ = ("value",)

    def __init__(self, value: bool) -> None:
        self.value = value


_TRUE: Final = BoolKey(True)
_FALSE: Final = BoolKey(False)


class SetList(list[Value]):
    """A list with `x-kubernetes-list-type: set`: equal in any order, `+` keeps one of each."""

    __slots__ = ()


class MapList(list[Value]):
    """A list with `x-kubernetes-list-type: map`: equal in any order, `+` replaces elements of the same keys."""

    __slots__ = ("keys",)

    def __init__(self, elements: Iterable[Value], keys: tuple[str, ...]) -> None:
        super().__init__(elements)
        self.keys = keys

    def key(self, element: Value) -> tuple[Value, ...]:
        """What identifies an element; Failure when that is no scalar, which a schema allows nowhere."""
        get = element.get if isinstance(element, dict) else lambda name: None
        found = tuple((type(get(name)).__name__, get(name)) for name in self.keys)
        if not all(value is None or isinstance(value, str | int | float) for _, value in found):
            raise Failure("no such overload")
        return found


class Optional:
    """`optional.of(value)`; `NONE` is `optional.none()`."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value


NONE: Final = Optional(object())


@runtime_checkable
class Record(Protocol):
    """A value with fields that are no map: `variables` of a policy, whose fields are computed when asked for."""

    def select(self, name: str) -> Value:
        """The field's value; Failure `no such key: NAME` when it has none."""
        ...

    def has(self, name: str) -> bool: ...


class Struct:
    """An object built by `Object{...}` or `JSONPatch{...}`: its type's name and its fields by their wire names."""

    __slots__ = ("fields", "type_name")

    def __init__(self, type_name: str, fields: dict[str, Value]) -> None:
        self.type_name = type_name
        self.fields = fields

    def select(self, name: str) -> Value:
        if name not in self.fields:
            raise Failure(f"no such key: {name}")
        return self.fields[name]

    def has(self, name: str) -> bool:
        return name in self.fields

    def equals(self, other: Struct) -> bool:
        return self.type_name == other.type_name and equals(self.fields, other.fields)


class TypeValue:
    """The value of `type(x)`: known by its name alone."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def equals(self, other: TypeValue) -> bool:
        return self.name == other.name

    def __str__(self) -> str:
        return self.name


NUMBERS: Final = frozenset((int, Uint, float))
_PLAIN: Final = frozenset((str, bool, int, bytes, float, Uint, NoneType))
LISTS: Final = frozenset((list, SetList, MapList))
LONG: Final = 100
"""Characters from which on comparing two strings is no longer as good as free."""

Charge: TypeAlias = Callable[[int], None]


def _free(cost: int) -> None:
    """For whoever compares outside of an evaluation."""


def equals(a: Value, b: Value, charge: Charge = _free) -> bool:
    """Equality of CEL: by value, numbers of any type by amount, anything else of two types is unequal.

    `charge` is told how much is compared, at every level, so that comparing ends with the budget.
    """
    kind = type(a)
    other = type(b)
    if kind is other:
        if kind in _PLAIN:
            if (kind is str or kind is bytes) and len(a) > LONG:
                charge(len(a) // 10)
            return bool(a == b)
        if kind is dict:
            return _equal_maps(a, b, charge)
        if kind in LISTS:
            return _equal_lists(a, b, charge)
        if kind is Optional:
            return a is b or (a is not NONE and b is not NONE and equals(a.value, b.value, charge))
        compare = getattr(a, "equals", None)
        return bool(compare(b)) if compare is not None else bool(a == b)
    if kind in NUMBERS and other in NUMBERS:
        return bool(a == b)
    if kind in LISTS and other in LISTS:
        return _equal_lists(a, b, charge)
    return False


def _equal_maps(a: dict[Value, Value], b: dict[Value, Value], charge: Charge) -> bool:
    charge(len(a))
    return len(a) == len(b) and all(key in b and equals(value, b[key], charge) for key, value in a.items())


def _equal_lists(a: list[Value], b: list[Value], charge: Charge) -> bool:
    charge(len(a))
    if len(a) != len(b):
        return False
    if type(a) is SetList or type(a) is MapList:
        return _within(a, b, charge) and _within(b, a, charge)
    return all(equals(x, y, charge) for x, y in zip(a, b, strict=True))


def _within(a: list[Value], b: list[Value], charge: Charge) -> bool:
    """Whether every element of one list is in the other."""
    for x in a:
        charge(len(b))
        if not any(equals(x, y, charge) for y in b):
            return False
    return True


def map_key(key: Value) -> Value:
    """The key as a dict holds it; Failure when it is none of bool, int, uint, string, or a double without a fraction."""
    kind = type(key)
    if kind is str or kind is int or kind is Uint:
        return key
    if kind is bool:
        return _TRUE if key else _FALSE
    raise Failure(f"unsupported key type: {type_name(key)}")


def lookup_key(key: Value) -> Value:
    """The key to look for: a double finds the int of the same amount."""
    return key if type(key) is float else map_key(key)


def map_keys(map: dict[Value, Value]) -> list[Value]:
    """The keys as CEL sees them, in the map's order."""
    return [key.value if type(key) is BoolKey else key for key in map]


_NAMES: Final[dict[type, str]] = {
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    bool: "bool",
    NoneType: "null_type",
    list: "list",
    SetList: "list",
    MapList: "list",
    dict: "map",
    Optional: "optional_type",
    TypeValue: "type",
}


def type_name(value: Value) -> str:
    """The name of the value's type as `type(value)` gives it."""
    name = _NAMES.get(type(value))
    if name is None:
        name = getattr(value, "type_name", "dyn")
    return name
