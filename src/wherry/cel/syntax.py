"""The tree of an expression. Macros are nodes of their own, so that the evaluator can run each as one Python loop.

`position` is the offset, in code points, where cel-go would point when something is wrong with the node: the operator of an
operation, the dot of a selection, the bracket of a call. `type` is filled in by the checker.
"""

from __future__ import annotations

from typing import Any, Final

from wherry.cel.types import DYN, Type


class Node:
    """Any expression."""

    __slots__ = ("position", "type")

    def __init__(self, position: int) -> None:
        self.position = position
        self.type: Type = DYN


class Literal(Node):
    """A value written down: null, bool, int, uint, double, string, bytes."""

    __slots__ = ("value",)

    def __init__(self, position: int, value: Any) -> None:
        super().__init__(position)
        self.value = value


class Ident(Node):
    """A variable or, after checking, the name of a type."""

    __slots__ = ("name",)

    def __init__(self, position: int, name: str) -> None:
        super().__init__(position)
        self.name = name


class Select(Node):
    """`operand.field`, `operand.?field`, or with `test` `has(operand.field)`."""

    __slots__ = ("field", "operand", "optional", "qualified", "test")

    def __init__(self, position: int, operand: Node, field: str, *, test: bool = False, optional: bool = False) -> None:
        super().__init__(position)
        self.operand = operand
        self.field = field
        self.test = test
        self.optional = optional
        self.qualified = ""  # the checker puts `a.b.c` here when that is one variable or type name


class Call(Node):
    """A function or operator (`_+_`, `_[_]`, ...); `target` is what stands before the dot of a method."""

    __slots__ = ("args", "function", "target")

    def __init__(self, position: int, function: str, args: list[Node], target: Node | None = None) -> None:
        super().__init__(position)
        self.function = function
        self.args = args
        self.target = target


class Logic(Node):
    """`a && b && c` or `a || b || c` as one node of any length."""

    __slots__ = ("operator", "terms")

    def __init__(self, position: int, operator: str, terms: list[Node]) -> None:
        super().__init__(position)
        self.operator = operator
        self.terms = terms


class ListOf(Node):
    """`[a, ?b]`; `optional` says which elements are marked with `?`."""

    __slots__ = ("elements", "optional")

    def __init__(self, position: int, elements: list[Node], optional: list[bool]) -> None:
        super().__init__(position)
        self.elements = elements
        self.optional = optional


class MapOf(Node):
    """`{k: v, ?k: v}`: (key, value, marked optional) each."""

    __slots__ = ("entries",)

    def __init__(self, position: int, entries: list[tuple[Node, Node, bool]]) -> None:
        super().__init__(position)
        self.entries = entries


class StructOf(Node):
    """`Object.spec{field: v, ?field: v}`: (field, value, marked optional, position of the field) each."""

    __slots__ = ("entries", "name")

    def __init__(self, position: int, name: str, entries: list[tuple[str, Node, bool, int]]) -> None:
        super().__init__(position)
        self.name = name
        self.entries = entries


class Loop(Node):
    """
    A macro over a list or map.

    macro      all, exists, exists_one, map, filter, transformList, transformMap, transformMapEntry
    variables  one name (element or key), or two (index or key, value)
    condition  of map and transform* with a filter, else None
    """

    __slots__ = ("body", "condition", "macro", "over", "variables")

    def __init__(
        self, position: int, macro: str, over: Node, variables: tuple[str, ...], body: Node, condition: Node | None
    ) -> None:
        super().__init__(position)
        self.macro = macro
        self.over = over
        self.variables = variables
        self.body = body
        self.condition = condition


class Bind(Node):
    """`cel.bind(name, value, body)`, and with `macro` optMap or optFlatMap the same of an optional's content."""

    __slots__ = ("body", "macro", "name", "value")

    def __init__(self, position: int, macro: str, name: str, value: Node, body: Node) -> None:
        super().__init__(position)
        self.macro = macro
        self.name = name
        self.value = value
        self.body = body


OPERATORS: Final = {
    "==": ("_==_", 3),
    "!=": ("_!=_", 3),
    "<": ("_<_", 3),
    "<=": ("_<=_", 3),
    ">": ("_>_", 3),
    ">=": ("_>=_", 3),
    "in": ("@in", 3),
    "+": ("_+_", 4),
    "-": ("_-_", 4),
    "*": ("_*_", 5),
    "/": ("_/_", 5),
    "%": ("_%_", 5),
}
"""Of two operands: function and how tightly it binds; `||` binds 1, `&&` 2, all to the left."""


def qualified_name(node: Node) -> str:
    """`a.b.c` of a chain of plain selections, "" for anything else."""
    parts: list[str] = []
    while isinstance(node, Select) and not node.test and not node.optional:
        parts.append(node.field)
        node = node.operand
    if not isinstance(node, Ident):
        return ""
    parts.append(node.name)
    return ".".join(reversed(parts))
