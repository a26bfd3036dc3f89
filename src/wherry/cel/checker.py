"""Gives every node its type, resolves names and overloads, and reports what cannot be right, in cel-go's words.

`dyn` fits everything. A type parameter stands for one type within a call; what stays unknown in the end is dyn. Source: the
rules of cel-spec (doc/langdef.md, "Gradual Type Checking") and the documented behaviour of cel-go's checker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from wherry.cel.errors import Failure, Issue
from wherry.cel.functions import Function
from wherry.cel.libraries.formatting import misfit
from wherry.cel.regex import compiled
from wherry.cel.syntax import (
    Bind,
    Call,
    Ident,
    ListOf,
    Literal,
    Logic,
    Loop,
    MapOf,
    Node,
    Select,
    StructOf,
    qualified_name,
)
from wherry.cel.times import parse_duration, parse_timestamp
from wherry.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    ERROR,
    INT,
    NULL,
    STRING,
    UINT,
    ObjectType,
    Type,
    list_of,
    map_of,
    optional_of,
    type_of,
)
from wherry.cel.unification import Unification
from wherry.cel.values import Uint

if TYPE_CHECKING:
    from wherry.cel.environment import Environment

_LITERALS = {bool: BOOL, int: INT, Uint: UINT, float: DOUBLE, str: STRING, bytes: BYTES, type(None): NULL}
_READ_EARLY: Mapping[str, Callable[[str], object]] = {
    "matches": compiled,
    "duration": parse_duration,
    "timestamp": parse_timestamp,
}


class Checker:
    """Of one expression. `used` collects the variables of the environment it reads."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.issues: list[Issue] = []
        self.used: set[str] = set()
        self._types = Unification()
        self._scope: dict[str, Type] = {}
        self._nodes: list[Node] = []
        self._mixed = not environment.homogeneous
        self._handlers: Mapping[type, Callable[[Any], Type]] = {
            Literal: lambda node: _LITERALS[type(node.value)],
            Ident: self._ident,
            Select: self._select,
            Call: self._call,
            Logic: self._logic,
            ListOf: self._list,
            MapOf: self._map,
            StructOf: self._struct,
            Loop: self._loop,
            Bind: self._bind,
        }

    def run(self, tree: Node) -> Type:
        """The type of the whole; `issues` says what is wrong."""
        self.check(tree)
        for node in self._nodes:
            node.type = self._types.final(node.type)
        return tree.type

    def check(self, node: Node) -> Type:
        node.type = self._handlers[type(node)](node)
        self._nodes.append(node)
        return node.type

    def _wrong(self, position: int, message: str) -> Type:
        self.issues.append(Issue(position, message))
        return ERROR

    def _ident(self, node: Ident) -> Type:
        found = self._name(node.name)
        if found is None:
            return self._wrong(node.position, f"undeclared reference to '{node.name}' (in container '')")
        return found

    def _name(self, name: str) -> Type | None:
        local = self._scope.get(name)
        if local is not None:
            return local
        variable = self.environment.variables.get(name)
        if variable is not None:
            self.used.add(name)
            return variable
        known = self.environment.type_names.get(name)
        return type_of(known) if known is not None else None

    def _select(self, node: Select) -> Type:
        qualified = "" if node.test or node.optional else qualified_name(node)
        if qualified and qualified.partition(".")[0] not in self._scope:
            found = self._name(qualified)
            if found is not None:
                node.qualified = qualified
                return found
        operand = self._types.known(self.check(node.operand))
        chained = node.optional
        if operand.kind == "optional":
            (chained, operand) = (True, self._types.known(operand.parameters[0]))
        field = self._field(node, operand)
        if field.kind == "error":
            return ERROR
        if node.test:
            return BOOL
        return optional_of(field) if chained else field

    def _field(self, node: Select, operand: Type) -> Type:
        if operand.kind in ("dyn", "parameter", "error"):
            return DYN
        if operand.kind == "map":
            return operand.parameters[1]
        if isinstance(operand, ObjectType):
            field = operand.fields.get(node.field)
            if field is None:
                return self._wrong(node.position, f"undefined field '{node.field}'")
            return field.type
        return self._wrong(node.position, f"type '{operand}' does not support field selection")

    def _call(self, node: Call) -> Type:
        functions = self.environment.functions
        if node.target is not None:
            qualified = qualified_name(node.target)
            if qualified and qualified.partition(".")[0] not in self._scope:
                name = f"{qualified}.{node.function}"
                if (name, False) in functions:
                    (node.function, node.target) = (name, None)
        args = [*([node.target] if node.target is not None else []), *node.args]
        function = functions.get((node.function, node.target is not None))
        (mixed, self._mixed) = (self._mixed, self._mixed or node.function == "format")
        given = list(map(self.check, args))  # a comprehension would take one frame more at each level
        self._mixed = mixed
        if function is None:
            return self._wrong(node.position, f"undeclared reference to '{node.function}' (in container '')")
        self._literal_argument(node.function, args)
        if node.function == "format":
            self._template(node, args)
        return self._overload(node.position, function, given)

    def _literal_argument(self, name: str, args: list[Node]) -> None:
        """Patterns and times that are written down are read at once."""
        read = _READ_EARLY.get(name)
        last = args[-1] if args else None
        if read is not None and isinstance(last, Literal) and isinstance(last.value, str):
            try:
                read(last.value)
            except Failure:
                self._wrong(last.position, f"invalid {name} argument")

    def _template(self, node: Call, args: list[Node]) -> None:
        """`'...'.format([...])` with both written down: clauses and types must fit."""
        if len(args) != 2 or not isinstance(args[1], ListOf) or any(args[1].optional):
            return
        template = args[0]
        if isinstance(template, Literal) and isinstance(template.value, str):
            found = misfit(template.value, [self._types.known(each.type).kind for each in args[1].elements])
            if found is not None:
                (index, message) = found
                self._wrong(node.position if index is None else args[1].elements[index].position, message)

    def _overload(self, position: int, function: Function, given: list[Type]) -> Type:
        result: Type | None = None
        for overload in function.overloads:
            if len(overload.params) != len(given):
                continue
            found = self._types.match(given, overload.params, overload.result)
            if found is not None:
                result = found if result is None or result == found else DYN
        if result is None:
            if any(each.kind == "error" for each in given):
                return ERROR  # already reported
            shown = [str(self._types.final(each)) for each in given]
            text = f"{shown[0]}.({', '.join(shown[1:])})" if function.method else f"({', '.join(shown)})"
            return self._wrong(position, f"found no matching overload for '{function.name}' applied to '{text}'")
        return result

    def _logic(self, node: Logic) -> Type:
        given = list(map(self.check, node.terms))
        function = self.environment.functions[f"_{node.operator}_", False]
        if any(self._types.known(each).kind not in ("bool", "dyn", "error") for each in given):
            (left, right) = (given[0], next((e for e in given[1:] if self._types.known(e).kind != "bool"), given[1]))
            return self._overload(node.position, function, [left, right])
        return BOOL

    def _list(self, node: ListOf) -> Type:
        element: Type | None = None
        for child, optional in zip(node.elements, node.optional, strict=True):
            given = self.check(child)
            element = self._join(child.position, element, self._content(child, given) if optional else given)
        return list_of(element or self._types.fresh())

    def _map(self, node: MapOf) -> Type:
        key: Type | None = None
        value: Type | None = None
        for key_node, value_node, optional in node.entries:
            key = self._join(key_node.position, key, self.check(key_node))
            given = self.check(value_node)
            value = self._join(value_node.position, value, self._content(value_node, given) if optional else given)
        return map_of(key or self._types.fresh(), value or self._types.fresh())

    def _content(self, node: Node, given: Type) -> Type:
        """What an element marked `?` holds."""
        given = self._types.known(given)
        if given.kind == "optional":
            return given.parameters[0]
        if given.kind not in ("dyn", "error", "parameter"):
            self._wrong(node.position, f"expected type 'optional_type({given})' but found '{given}'")
        return DYN

    def _join(self, position: int, known: Type | None, given: Type) -> Type:
        if known is None:
            return given
        if self._types.known(given).kind == "dyn":
            return DYN
        if self._types.assign(given, known):
            return known if self._types.known(known).kind != "null" else given
        if self._types.assign(known, given):
            return given
        if not self._mixed:
            (known, given) = (self._types.final(known), self._types.final(given))
            self._wrong(position, f"expected type '{known}' but found '{given}'")
            return known
        return DYN

    def _struct(self, node: StructOf) -> Type:
        found = self.environment.object_type(node.name)
        for name, value, optional, position in node.entries:
            given = self.check(value)
            given = self._content(value, given) if optional else given
            field = found.fields.get(name) if found is not None else None
            if found is not None and field is None:
                self._wrong(position, f"undefined field '{name}'")
            elif field is not None and not self._types.assign(given, field.type):
                shown = self._types.final(given)
                self._wrong(
                    position, f"expected type of field '{name}' is '{field.type}' but provided type is '{shown}'"
                )
        if found is None:
            return self._wrong(node.position, f"undeclared reference to '{node.name}' (in container '')")
        return found

    def _loop(self, node: Loop) -> Type:
        over = self._types.known(self.check(node.over))
        (key, element) = self._elements(node, over)
        names = dict(zip(node.variables, (key, element) if len(node.variables) == 2 else (element,), strict=True))
        if over.kind == "map" and len(node.variables) == 1:
            names = {node.variables[0]: key}
        before = self._scope
        self._scope = {**before, **names}
        if node.condition is not None:
            self._bool(node.condition, "_?_:_")
        if node.macro in ("all", "exists", "exists_one", "filter"):
            operator = {"all": "_&&_", "exists": "_||_"}.get(node.macro, "_?_:_")
            self._bool(node.body, operator)
        else:
            self.check(node.body)
        self._scope = before
        return self._made(node, over, key, element)

    def _elements(self, node: Loop, over: Type) -> tuple[Type, Type]:
        if over.kind == "list":
            return INT, over.parameters[0]
        if over.kind == "map":
            return over.parameters[0], over.parameters[1]
        if over.kind not in ("dyn", "parameter", "error"):
            text = f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)"
            self._wrong(node.over.position, text)
        return DYN, DYN

    def _bool(self, node: Node, operator: str) -> None:
        given = self._types.known(self.check(node))
        if not self._types.assign(given, BOOL):
            shown = f"(bool, {given})" if operator != "_?_:_" else f"({given}, dyn, dyn)"
            self._wrong(node.position, f"found no matching overload for '{operator}' applied to '{shown}'")

    def _made(self, node: Loop, over: Type, key: Type, element: Type) -> Type:
        if node.macro in ("all", "exists", "exists_one"):
            return BOOL
        if node.macro == "filter":
            return list_of(key if over.kind == "map" else element, over.max_size)
        if node.macro in ("map", "transformList"):
            return list_of(node.body.type, over.max_size)
        if node.macro == "transformMap":
            return map_of(key, node.body.type, over.max_size)
        body = self._types.known(node.body.type)
        if body.kind == "map":
            return map_of(body.parameters[0], body.parameters[1], over.max_size)
        return map_of(DYN, DYN, over.max_size)

    def _bind(self, node: Bind) -> Type:
        value = self._types.known(self.check(node.value))
        if node.macro != "bind":
            if value.kind == "optional":
                value = value.parameters[0]
            elif value.kind not in ("dyn", "error", "parameter"):
                text = f"found no matching overload for 'hasValue' applied to '{value}.()'"
                self._wrong(node.position, text)
                value = ERROR
            else:
                value = DYN
        before = self._scope
        self._scope = {**before, node.name: value}
        body = self._types.known(self.check(node.body))
        self._scope = before
        if node.macro == "optFlatMap" and body.kind not in ("optional", "dyn", "error", "parameter"):
            text = f"found no matching overload for '_?_:_' applied to '(bool, {body}, optional_type(dyn))'"
            return self._wrong(node.position, text)
        return optional_of(body) if node.macro == "optMap" else body
