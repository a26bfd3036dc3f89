"""Turns a checked tree into closures, each taking the frame and giving a value or raising.

Errors of CEL are exceptions; only `&&`, `||`, `all` and `exists` catch them. The weight of a tree, counted here, is what running
each node once costs; loops and functions that read much take more from the budget while they run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from wherry.cel import access, loops
from wherry.cel.errors import Failure, no_overload
from wherry.cel.frame import MISSING, Frame, Run, spend
from wherry.cel.operators import BINARY, UNARY, binary
from wherry.cel.syntax import Bind, Call, Ident, ListOf, Literal, Logic, Loop, MapOf, Node, Select, StructOf
from wherry.cel.values import NONE, Optional, Struct, TypeValue, Value, map_key

if TYPE_CHECKING:
    from wherry.cel.environment import Environment

__all__ = ["MISSING", "Builder"]

_STEP: Final = 1
_FUNCTION: Final = 3
"""What calling a function costs more than an operator does. cel-go counts both alike, but here finding the function and its
overload takes that much longer, and a unit should take no longer than it does there."""
_FOLDED: Final = frozenset(("timestamp", "duration", "quantity", "ip", "cidr", "semver", "url", "bytes"))
"""Made once, when their argument is written down."""
_MAKE: Final = {ListOf: 10, MapOf: 30, StructOf: 40}
"""What making one costs, as cel-go counts it."""


class Builder:
    """Of one expression. `variables` says where in the frame each goes, `size` how long the frame is."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.variables: dict[str, int] = {}
        self.size = 1
        self._scope: dict[str, int] = {}
        self._weight = 0
        self._handlers: Mapping[type, Callable[[Any], Run]] = {
            Literal: self._literal,
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

    def program(self, tree: Node) -> tuple[Run, int]:
        """What to run, and its weight."""
        run = self.build(tree)
        return run, self._weight

    def build(self, node: Node) -> Run:
        if type(node) is not Literal:
            self._weight += _MAKE.get(type(node), _STEP)
        return self._handlers[type(node)](node)

    def _slot(self) -> int:
        self.size += 1
        return self.size - 1

    def _literal(self, node: Literal) -> Run:
        value = node.value
        return lambda frame: value

    def _ident(self, node: Ident) -> Run:
        slot = self._scope.get(node.name)
        return self._variable(node.name) if slot is None else lambda frame: frame[slot]

    def _variable(self, name: str) -> Run:
        known = self.environment.type_names.get(name)
        if name not in self.environment.variables and known is not None:
            value = TypeValue("null_type" if name == "null_type" else name)
            return lambda frame: value
        slot = self.variables.get(name)
        if slot is None:
            slot = self.variables[name] = self._slot()

        def run(frame: Frame) -> Value:
            value = frame[slot]
            if value is MISSING:
                raise Failure(f"no such attribute(s): {name}")
            return value

        return run

    def _select(self, node: Select) -> Run:
        if node.qualified:
            return self._variable(node.qualified)
        field = node.field
        if not node.test and not node.optional and isinstance(node.operand, Ident):
            slot = self._scope.get(node.operand.name)
            if slot is not None:
                self._weight += _STEP
                return access.select_slot(slot, self._wire(node))
        operand = self.build(node.operand)
        field = self._wire(node)
        if node.test:
            return lambda frame: access.has(operand(frame), field)
        if node.optional:
            return lambda frame: access.select_optional(operand(frame), field)
        return access.select(operand, field)

    def _wire(self, node: Select) -> str:
        """The field's name in the data, which the type may know under another one."""
        operand = node.operand.type
        if operand.kind == "optional":
            operand = operand.parameters[0]
        fields = getattr(operand, "fields", None)
        field = fields.get(node.field) if fields is not None else None
        return field.wire if field is not None else node.field

    def _call(self, node: Call) -> Run:
        name = node.function
        args = list(map(self.build, ([node.target] if node.target is not None else []) + node.args))
        if name in BINARY and node.target is None:
            return binary(name, args[0], args[1])
        if name in UNARY and node.target is None:
            return UNARY[name](args[0])
        if name == "_?_:_":
            return _conditional(args[0], args[1], args[2])
        if name in ("or", "orValue") and node.target is not None and len(args) == 2:
            return _alternative(args[0], args[1], whole=name == "or")
        dispatch = self.environment.dispatch((name, node.target is not None), len(args))
        self._weight += _FUNCTION
        if name in _FOLDED and node.target is None and all(type(arg) is Literal for arg in node.args):
            with suppress(Failure):
                literals = [arg([]) for arg in args]
                made = dispatch.find(literals).run(*literals)
                return lambda frame: made

        def run(frame: Frame) -> Value:
            given = [arg(frame) for arg in args]
            overload = dispatch.find(given)
            if overload.charge is not None:
                spend(frame, overload.charge(*given))
            return overload.run(*given)

        return run

    def _logic(self, node: Logic) -> Run:
        terms = list(map(self.build, node.terms))
        deciding = node.operator == "||"

        def run(frame: Frame) -> Value:
            error: Failure | None = None
            for term in terms:
                try:
                    value = term(frame)
                except Failure as failure:
                    error = error or failure
                    continue
                if value is deciding:
                    return deciding
                if type(value) is not bool:
                    error = error or no_overload()
            if error is not None:
                raise error
            return not deciding

        return run

    def _list(self, node: ListOf) -> Run:
        elements = list(map(self.build, node.elements))
        if not any(node.optional):
            return lambda frame: [element(frame) for element in elements]
        marked = list(zip(elements, node.optional, strict=True))

        def run(frame: Frame) -> Value:
            made = []
            for element, optional in marked:
                value = element(frame)
                if not optional:
                    made.append(value)
                elif (content := _content(value)) is not NONE:
                    made.append(content.value)
            return made

        return run

    def _map(self, node: MapOf) -> Run:
        entries = [(self.build(key), self.build(value), optional) for key, value, optional in node.entries]

        def run(frame: Frame) -> Value:
            made: dict[Value, Value] = {}
            for get_key, get_value, optional in entries:
                shown = get_key(frame)
                key = map_key(shown)
                value = get_value(frame)
                if key in made:
                    raise Failure(f"Failed with repeated key {shown}")
                if not optional:
                    made[key] = value
                elif (content := _content(value)) is not NONE:
                    made[key] = content.value
            return made

        return run

    def _struct(self, node: StructOf) -> Run:
        fields = [(name, self.build(value), optional) for name, value, optional, _ in node.entries]
        declared = self.environment.object_type(node.name)
        assert declared is not None, "the checker refuses it"
        wires = {name: field.wire for name, _, _ in fields if (field := declared.fields.get(name)) is not None}

        def run(frame: Frame) -> Value:
            made: dict[str, Value] = {}
            for name, get_value, optional in fields:
                value = get_value(frame)
                if not optional:
                    made[wires[name]] = value
                elif (content := _content(value)) is not NONE:
                    made[wires[name]] = content.value
            return Struct(declared.name, made)

        return run

    def _loop(self, node: Loop) -> Run:
        over = self.build(node.over)
        slots = tuple(self._slot() for _ in node.variables)
        (before, outside) = (self._scope, self._weight)
        self._scope = {**before, **dict(zip(node.variables, slots, strict=True))}
        self._weight = _STEP
        condition = self.build(node.condition) if node.condition is not None else None
        body = self.build(node.body)
        parts = loops.Parts(over, slots, body, condition, self._weight)
        (self._scope, self._weight) = (before, outside)
        if node.macro in ("all", "exists"):
            return loops.quantifier(parts, deciding=node.macro == "exists")
        return _LOOPS[node.macro](parts)

    def _bind(self, node: Bind) -> Run:
        value = self.build(node.value)
        slot = self._slot()
        before = self._scope
        self._scope = {**before, node.name: slot}
        body = self.build(node.body)
        self._scope = before
        if node.macro == "bind":

            def bind(frame: Frame) -> Value:
                frame[slot] = value(frame)
                return body(frame)

            return bind
        wrap = node.macro == "optMap"

        def run(frame: Frame) -> Value:
            content = _content(value(frame))
            if content is NONE:
                return NONE
            frame[slot] = content.value
            made = body(frame)
            return Optional(made) if wrap else _content(made)

        return run


_LOOPS: Final = {
    "exists_one": loops.exists_one,
    "map": loops.mapped,
    "filter": loops.filtered,
    "transformList": loops.mapped,
    "transformMap": loops.transformed,
    "transformMapEntry": loops.entries,
}


def _content(value: Value) -> Optional:
    if type(value) is not Optional:
        raise no_overload()
    return value


def _alternative(optional: Run, otherwise: Run, whole: bool) -> Run:
    """`optional.or(optional)`, `optional.orValue(value)`: the other is asked only when there is nothing."""

    def run(frame: Frame) -> Value:
        content = _content(optional(frame))
        if content is not NONE:
            return content if whole else content.value
        return _content(otherwise(frame)) if whole else otherwise(frame)

    return run


def _conditional(condition: Run, then: Run, otherwise: Run) -> Run:
    def run(frame: Frame) -> Value:
        decision = condition(frame)
        if decision is True:
            return then(frame)
        if decision is False:
            return otherwise(frame)
        raise no_overload()

    return run
