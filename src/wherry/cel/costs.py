"""What an expression may cost at most, judged from its types before it ever runs.

The units are cel-go's: 1 for reading a variable, field or calling a plain function, a tenth for each character read, sizes from
the limits the schema sets. Kubernetes refuses a rule whose estimate is above its limit, so the numbers follow the documented cost
model (kubernetes.io, "Resource use by validation functions"; cel-go, checker cost). Only the upper end is computed, since that
is what is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from wherry.cel.syntax import Bind, Call, Ident, ListOf, Literal, Logic, Loop, MapOf, Node, Select, StructOf
from wherry.cel.types import ObjectType, Type

UNLIMITED: Final = 2**64 - 1


class Size(NamedTuple):
    """Characters, elements or entries at most; `element` and `key` of what a list or map made by the expression holds."""

    most: int
    element: Size | None = None


def estimate(tree: Node) -> int:
    """The cost at most of a checked tree, 2^64-1 when nothing limits it."""
    return min(_Estimator().cost(tree), UNLIMITED)


def factor(size: int, tenths: int) -> int:
    """A tenth (or so) of each, rounded up."""
    return min(-(-size * tenths // 100), UNLIMITED)


class _Estimator:
    def __init__(self) -> None:
        self._local: dict[str, Size | None] = {}
        self._sizes: dict[int, Size] = {}
        self._handlers: Mapping[type, Callable[[Any], int]] = {
            Literal: lambda node: 0,
            Ident: lambda node: 1,
            Select: self._select,
            Call: self._call,
            Logic: lambda node: sum(map(self.cost, node.terms)),
            ListOf: self._list,
            MapOf: lambda node: 30 + sum(self.cost(key) + self.cost(value) for key, value, _ in node.entries),
            StructOf: lambda node: 40 + sum(self.cost(value) for _, value, _, _ in node.entries),
            Loop: self._loop,
            Bind: self._bind,
        }

    def cost(self, node: Node) -> int:
        return min(self._handlers[type(node)](node), UNLIMITED)

    def size(self, node: Node) -> int:
        """Of the node's value, at most."""
        known = self._sizes.get(id(node))
        if known is not None:
            return known.most
        if isinstance(node, Literal):
            return len(node.value) if isinstance(node.value, str | bytes) else 1
        if isinstance(node, ListOf):
            return len(node.elements)
        if isinstance(node, MapOf):
            return len(node.entries)
        if isinstance(node, Ident) and (local := self._local.get(node.name)) is not None:
            return local.most
        return _type_size(node.type)

    def _select(self, node: Select) -> int:
        if node.qualified:
            return 1
        operand = self.cost(node.operand)
        if node.test:
            return operand  # Kubernetes counts has() as nothing
        return operand + (1 if node.optional or node.operand.type.kind in ("map", "object") else 0)

    def _list(self, node: ListOf) -> int:
        if node.elements:
            self._sizes[id(node)] = Size(len(node.elements), Size(max(map(self.size, node.elements))))
        return 10 + sum(map(self.cost, node.elements))

    def _call(self, node: Call) -> int:
        args = [*([node.target] if node.target is not None else []), *node.args]
        costs = list(map(self.cost, args))
        name = node.function
        if name == "_?_:_":
            self._sizes[id(node)] = Size(max(self.size(args[1]), self.size(args[2])))
            return costs[0] + max(costs[1], costs[2])
        return sum(costs) + self._function(node, name, args)

    def _function(self, node: Call, name: str, args: list[Node]) -> int:
        sizes = list(map(self.size, args))
        if name == "_+_" and args[0].type.kind in ("string", "bytes", "list", "dyn"):
            self._sizes[id(node)] = Size(min(sum(sizes), UNLIMITED))
            return 1 if args[0].type.kind == "list" else factor(sum(sizes), 10)
        if name in ("_==_", "_!=_") or (name in _ORDER and args[0].type.kind in ("string", "bytes", "dyn")):
            return factor(min(sizes), 10)
        if name == "@in":
            return sizes[1] if args[1].type.kind != "map" else 1
        counted = _COUNTED.get(name)
        return counted(self, node, args, sizes) if counted is not None else 1

    def resized(self, node: Node, most: int) -> None:
        self._sizes[id(node)] = Size(min(most, UNLIMITED))

    def element(self, node: Node) -> int:
        """The size of an element of a list, of a value of a map."""
        made = self._sizes.get(id(node))
        if made is not None and made.element is not None:
            return made.element.most
        return _type_size(node.type.parameters[-1]) if node.type.kind in ("list", "map") else UNLIMITED

    def _loop(self, node: Loop) -> int:
        over = self.cost(node.over)
        rounds = self.size(node.over)
        before = dict(self._local)
        element = self._sizes[id(node.over)].element if id(node.over) in self._sizes else None
        self._local |= dict.fromkeys(node.variables, None)
        if element is not None:
            self._local[node.variables[-1]] = element
        body = self.cost(node.body)
        condition = self.cost(node.condition) if node.condition is not None else 0
        self._local = before
        (start, each, end) = _ROUNDS[node.macro]
        if node.macro not in ("all", "exists", "exists_one"):
            self._sizes[id(node)] = Size(rounds, Size(self.size(node.body)) if node.macro == "map" else element)
        return over + start + rounds * (each + body + condition) + end

    def _bind(self, node: Bind) -> int:
        value = self.cost(node.value)
        before = dict(self._local)
        self._local[node.name] = Size(self.size(node.value)) if node.macro == "bind" else None
        body = self.cost(node.body)
        self._sizes[id(node)] = Size(self.size(node.body))
        self._local = before
        return value + body + (10 if node.macro == "bind" else 3)


_ORDER: Final = frozenset(("_<_", "_<=_", "_>_", "_>=_"))
_ROUNDS: Final = {
    "all": (0, 3, 1),
    "exists": (0, 4, 1),
    "exists_one": (0, 2, 2),
    "map": (10, 12, 1),
    "filter": (10, 13, 1),
    "transformList": (10, 12, 1),
    "transformMap": (30, 3, 1),
    "transformMapEntry": (30, 2, 1),
}
"""What a macro costs besides its parts: once before, in each round, once after."""


def _type_size(kind: Type) -> int:
    if kind.max_size is not None:
        return kind.max_size
    if kind.kind in ("bool", "int", "uint", "double", "null", "timestamp", "duration", "opaque", "type"):
        return 1
    return 1 if isinstance(kind, ObjectType) else UNLIMITED


def _traversed(times: int) -> Callable[[_Estimator, Call, list[Node], list[int]], int]:
    def cost(estimator: _Estimator, node: Call, args: list[Node], sizes: list[int]) -> int:
        estimator.resized(node, sizes[0])
        return factor(sizes[0], 10 * times)

    return cost


def _text(estimator: _Estimator, node: Call, args: list[Node], sizes: list[int]) -> int:
    """Only bytes are read to become a string."""
    estimator.resized(node, sizes[0])
    return factor(sizes[0], 10) if args[0].type.kind == "bytes" else 1


def _second(estimator: _Estimator, node: Call, args: list[Node], sizes: list[int]) -> int:
    return factor(sizes[1], 10)


def _pattern(estimator: _Estimator, node: Call, args: list[Node], sizes: list[int]) -> int:
    estimator.resized(node, sizes[0])
    return factor(sizes[0] + 1, 10) * factor(sizes[1], 25)


def _contained(estimator: _Estimator, node: Call, args: list[Node], sizes: list[int]) -> int:
    return factor(sizes[0], 10) * factor(sizes[1], 10)


def _list_walk(estimator: _Estimator, node: Call, args: list[Node], sizes: list[int]) -> int:
    if args[0].type.kind != "list":
        return factor(sizes[0], 10)
    inner = args[0].type.parameters[0].kind
    return sizes[0] * (1 + (factor(estimator.element(args[0]), 10) if inner in ("string", "bytes") else 0))


def _replaced(estimator: _Estimator, node: Call, args: list[Node], sizes: list[int]) -> int:
    estimator.resized(node, sizes[0] + (sizes[0] + 1) * sizes[2])
    return factor(sizes[0], 20)


def _joined(estimator: _Estimator, node: Call, args: list[Node], sizes: list[int]) -> int:
    total = sizes[0] * estimator.element(args[0]) + (max(sizes[0] - 1, 0) * sizes[1] if len(sizes) > 1 else 0)
    estimator.resized(node, total)
    return factor(min(total, UNLIMITED), 10)


def _sets(estimator: _Estimator, node: Call, args: list[Node], sizes: list[int]) -> int:
    return sizes[0] * sizes[1] * (2 if node.function == "sets.equivalent" else 1) + 1


_COUNTED: Final[Mapping[str, Callable[[_Estimator, Call, list[Node], list[int]], int]]] = {
    "startsWith": _second,
    "endsWith": _second,
    "contains": _contained,
    "matches": _pattern,
    "find": _pattern,
    "findAll": _pattern,
    "replace": _replaced,
    "join": _joined,
    "split": _traversed(2),
    "check": lambda *_: 350_000,
    **dict.fromkeys(("sets.contains", "sets.equivalent", "sets.intersects"), _sets),
    **dict.fromkeys(("isSorted", "sum", "min", "max", "indexOf", "lastIndexOf"), _list_walk),
    **{
        name: _traversed(1)
        for name in (
            *("lowerAscii", "upperAscii", "substring", "trim", "url", "isURL", "format", "strings.quote", "bytes"),
            *("ip", "isIP", "cidr", "isCIDR", "quantity", "isQuantity", "semver", "isSemver", "validate"),
        )
    },
    "ip.isCanonical": _traversed(2),
    "string": _text,
}
