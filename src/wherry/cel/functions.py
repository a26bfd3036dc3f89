"""How functions are declared: for the checker their types, for the evaluator what to run, for budgets what a call costs.

A Library is a set of functions with the constants and types that come with them; an Environment joins libraries. The
evaluator picks an overload by the classes of the actual values, so that `dyn` needs nothing special.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from wherry.cel.errors import Failure
from wherry.cel.times import Duration, Timestamp
from wherry.cel.types import Type
from wherry.cel.values import MapList, Optional, SetList, TypeValue, Uint, Value

Run: TypeAlias = Callable[..., Value]
Charge: TypeAlias = Callable[..., int]
"""From the actual arguments, what the call costs beyond 1; asked before the call, so that nothing too large is ever made."""


class Overload(NamedTuple):
    """`params` begins with the type before the dot when this is a method."""

    params: tuple[Type, ...]
    result: Type
    run: Run
    charge: Charge | None = None


class Function(NamedTuple):
    """All overloads of a name, as a method (`x.f()`) or not (`f(x)`)."""

    name: str
    method: bool
    overloads: tuple[Overload, ...]


Key: TypeAlias = tuple[str, bool]
Functions: TypeAlias = Mapping[Key, Function]


class Library(NamedTuple):
    """`types` are names that stand for a type (`net.IP`), with what `type()` calls it."""

    name: str
    functions: tuple[Function, ...]
    classes: Mapping[str, type] = {}
    types: Mapping[str, Type] = {}


def function(name: str, *overloads: Overload) -> Function:
    return Function(name, False, overloads)


def method(name: str, *overloads: Overload) -> Function:
    return Function(name, True, overloads)


def joined(libraries: Iterable[Library]) -> dict[Key, Function]:
    """All functions; a name several libraries declare has the overloads of all."""
    found: dict[Key, Function] = {}
    for library in libraries:
        for each in library.functions:
            known = found.get((each.name, each.method))
            found[each.name, each.method] = (
                known._replace(overloads=known.overloads + each.overloads) if known else each
            )
    return found


CLASSES: Final[dict[str, tuple[type, ...]]] = {
    "null": (type(None),),
    "bool": (bool,),
    "int": (int,),
    "uint": (Uint,),
    "double": (float,),
    "string": (str,),
    "bytes": (bytes,),
    "timestamp": (Timestamp,),
    "duration": (Duration,),
    "list": (list, SetList, MapList),
    "map": (dict,),
    "type": (TypeValue,),
    "optional": (Optional,),
}


class Dispatch:
    """Finds what to run for the classes of the arguments, and remembers it."""

    __slots__ = ("_classes", "_known", "_overloads")

    def __init__(self, function: Function, count: int, classes: Mapping[str, type]) -> None:
        self._overloads = [each for each in function.overloads if len(each.params) == count]
        self._classes = classes
        self._known: dict[tuple[type, ...], Overload] = {}

    def find(self, args: list[Any]) -> Overload:
        """Failure `no such overload` when there is none."""
        kinds = tuple(map(type, args))
        found = self._known.get(kinds)
        if found is None:
            for each in self._overloads:
                if all(self._accepts(param, kind) for param, kind in zip(each.params, kinds, strict=True)):
                    self._known[kinds] = found = each
                    break
            else:
                raise Failure("no such overload")
        return found

    def _accepts(self, param: Type, kind: type) -> bool:
        if param.kind in ("dyn", "parameter"):
            return True
        if param.kind == "opaque":
            return self._classes.get(param.name) is kind
        return kind in CLASSES.get(param.kind, ())
