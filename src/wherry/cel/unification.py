"""What type parameters stand for, within one expression: the bookkeeping below the checker.

A binding may grow more general (from int to dyn) but never turn into another type. A match that fails leaves no trace.
"""

from __future__ import annotations

from wherry.cel.types import DYN, Type

_NULLABLE = frozenset(("null", "object", "timestamp", "duration", "opaque", "optional"))
_ANY = frozenset(("dyn", "error"))


def _age(parameter: Type) -> int:
    return int(parameter.name[1:])


class Unification:
    """Bindings of parameters; names of fresh ones never come from a declaration."""

    def __init__(self) -> None:
        self._bound: dict[str, Type] = {}
        self._trail: list[tuple[str, Type | None]] = []  # what each binding was before, to take it back
        self._count = 0

    def fresh(self) -> Type:
        self._count += 1
        return Type("parameter", f"%{self._count}")

    def known(self, given: Type) -> Type:
        """The type a parameter is bound to, or the type itself."""
        while given.kind == "parameter" and given.name in self._bound:
            given = self._bound[given.name]
        return given

    def final(self, given: Type) -> Type:
        """All parameters replaced; what is not known is dyn."""
        given = self.known(given)
        if given.kind == "parameter":
            return DYN
        if not given.parameters:
            return given
        return Type(given.kind, given.name, tuple(map(self.final, given.parameters)), given.max_size)

    def assign(self, given: Type, wanted: Type) -> bool:
        """Whether a value of `given` may stand where `wanted` is asked for; binds parameters when so."""
        mark = len(self._trail)
        if self._assign(given, wanted):
            return True
        self._undo(mark)
        return False

    def match(self, given: list[Type], params: tuple[Type, ...], result: Type) -> Type | None:
        """The result of an overload for these arguments, or None when it does not take them."""
        names: dict[str, Type] = {}
        mark = len(self._trail)
        for argument, param in zip(given, params, strict=True):
            if not self._assign(argument, self._instance(param, names)):
                self._undo(mark)
                return None
        return self._instance(result, names)

    def _set(self, name: str, value: Type) -> None:
        self._trail.append((name, self._bound.get(name)))
        self._bound[name] = value

    def _undo(self, mark: int) -> None:
        while len(self._trail) > mark:
            (name, before) = self._trail.pop()
            if before is None:
                del self._bound[name]
            else:
                self._bound[name] = before

    def _instance(self, declared: Type, names: dict[str, Type]) -> Type:
        """The declared type with parameters of its own for this call."""
        if declared.kind == "parameter":
            found = names.get(declared.name)
            if found is None:
                found = names[declared.name] = self.fresh()
            return found
        if not declared.parameters:
            return declared
        parameters = tuple(self._instance(each, names) for each in declared.parameters)
        return Type(declared.kind, declared.name, parameters, declared.max_size)

    def _assign(self, given: Type, wanted: Type) -> bool:
        if given is wanted:
            return True
        if wanted.kind == "parameter" or given.kind == "parameter":
            return self._bind(given, wanted)
        if given.kind in _ANY or wanted.kind in _ANY:
            return True
        if given.kind == "null" or wanted.kind == "null":
            return (wanted if given.kind == "null" else given).kind in _NULLABLE
        if given.kind != wanted.kind or given.name != wanted.name:
            return False
        if given.kind == "type":
            return True  # types may be compared whatever they are of
        return all(map(self._assign, given.parameters, wanted.parameters))

    def _bind(self, given: Type, wanted: Type) -> bool:
        (left, right) = (self._last(given), self._last(wanted))
        (a, b) = (self.known(left), self.known(right))
        if a.kind == "parameter" and b.kind == "parameter":
            (older, newer) = (a, b) if _age(a) <= _age(b) else (b, a)
            if older.name != newer.name:
                self._set(newer.name, older)  # so that chains stay short: what comes later hangs on what was there
            return True
        if a.kind == "parameter" or b.kind == "parameter":
            (free, value) = (a, b) if a.kind == "parameter" else (b, a)
            if self._occurs(free.name, value):
                return False
            self._set(free.name, value)
            return True
        if not self._assign(a, b):
            return False
        if right.kind == "parameter" and (a.kind == "dyn" or (b.kind == "null" and a.kind != "null")):
            self._set(right.name, a)
        return True

    def _last(self, given: Type) -> Type:
        """The last parameter of a chain of bindings, or the type itself."""
        while given.kind == "parameter":
            following = self._bound.get(given.name)
            if following is None or following.kind != "parameter":
                return given
            given = following
        return given

    def _occurs(self, name: str, value: Type) -> bool:
        value = self.known(value)
        return value.name == name if value.kind == "parameter" else any(self._occurs(name, e) for e in value.parameters)
