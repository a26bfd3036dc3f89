"""What looks like a call but is syntax: it gives names to elements, or asks about a field instead of reading it.

A macro is known by name, whether it is a method, and how many arguments it has; it makes one node, and never copies an
argument, so that nesting macros grows nothing. Sources: cel-spec, and the documented macros of cel-go's optional,
bindings and two-variable libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from wherry.cel.syntax import Bind, Ident, Loop, Node, Select

Expand: TypeAlias = Callable[[int, str, Node | None, list[Node]], Node | None]
"""(position, name, target, arguments) -> the node, or None when it is an ordinary call after all."""


class BadMacro(Exception):
    """The arguments do not fit."""

    def __init__(self, position: int, message: str) -> None:
        self.position = position
        self.message = message


def _name(node: Node, message: str = "argument must be a simple name") -> str:
    if not isinstance(node, Ident):
        raise BadMacro(node.position, message)
    if node.name in ("__result__", "@result"):
        raise BadMacro(node.position, f"iteration variable overwrites accumulator variable: {node.name}")
    return node.name


def _has(position: int, name: str, target: Node | None, args: list[Node]) -> Node:
    field = args[0]
    if not isinstance(field, Select) or field.test or field.optional:
        raise BadMacro(field.position, "invalid argument to has() macro")
    return Select(position, field.operand, field.field, test=True)


def _one(position: int, name: str, target: Node | None, args: list[Node]) -> Node:
    assert target is not None
    macro = "exists_one" if name == "existsOne" else name
    return Loop(position, macro, target, (_name(args[0]),), args[1], None)


def _map_filtered(position: int, name: str, target: Node | None, args: list[Node]) -> Node:
    assert target is not None
    return Loop(position, "map", target, (_name(args[0]),), args[2], args[1])


def _two(position: int, name: str, target: Node | None, args: list[Node]) -> Node:
    assert target is not None
    (first, second) = (_name(args[0]), _name(args[1]))
    if first == second:
        raise BadMacro(args[1].position, f"duplicate variable name: {first}")
    macro = "exists_one" if name == "existsOne" else name
    condition = args[2] if len(args) == 4 else None
    return Loop(position, macro, target, (first, second), args[-1], condition)


def _bind(position: int, name: str, target: Node | None, args: list[Node]) -> Node | None:
    if not (isinstance(target, Ident) and target.name == "cel"):
        return None
    return Bind(
        position, "bind", _name(args[0], "cel.bind() variable names must be simple identifiers"), args[1], args[2]
    )


def _optional(position: int, name: str, target: Node | None, args: list[Node]) -> Node:
    assert target is not None
    variable = _name(args[0], f"{name}() variable name must be a simple identifier")
    return Bind(position, name, variable, target, args[1])


MACROS: Final[dict[tuple[str, bool, int], Expand]] = {
    ("has", False, 1): _has,
    **{(name, True, 2): _one for name in ("all", "exists", "exists_one", "existsOne", "map", "filter")},
    ("map", True, 3): _map_filtered,
    **{(name, True, 3): _two for name in ("all", "exists", "exists_one", "existsOne")},
    **{
        (name, True, count): _two for name in ("transformList", "transformMap", "transformMapEntry") for count in (3, 4)
    },
    ("bind", True, 3): _bind,
    ("optMap", True, 2): _optional,
    ("optFlatMap", True, 2): _optional,
}
