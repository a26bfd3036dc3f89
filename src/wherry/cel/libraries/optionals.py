"""`optional.of`, `optional.none`, `optional.ofNonZeroValue`, `hasValue`, `value`, `or`, `orValue`.

Source: cel-go's optional types, as Kubernetes enables them.
"""

from __future__ import annotations

from typing import Final

from wherry.cel.errors import Failure
from wherry.cel.functions import Library, Overload, function, method
from wherry.cel.types import BOOL, DYN, A, Type, list_of, optional_of
from wherry.cel.values import LISTS, NONE, Optional, Struct, Value

_OPTIONAL: Final = optional_of(A)


def _non_zero(value: Value) -> Optional:
    empty = value is None or value is NONE or (isinstance(value, Struct) and not value.fields)
    if not empty and (type(value) in LISTS or isinstance(value, str | bytes | dict | int | float)):
        empty = not value
    elif not empty and hasattr(value, "nanos") and not hasattr(value, "at"):
        empty = value.nanos == 0
    return NONE if empty else Optional(value)


def _value(optional: Optional) -> Value:
    if optional is NONE:
        raise Failure("optional.none() dereference")
    return optional.value


def _lazy(optional: Optional, other: Value) -> Value:
    raise AssertionError("the evaluator asks the other one only when it must")


def _unwrap(optionals: list[Value]) -> Value:
    if not all(type(each) is Optional for each in optionals):
        raise Failure("no such overload")
    return [each.value for each in optionals if each is not NONE]


OPTIONALS: Final = Library(
    "optional",
    (
        function("optional.of", Overload((A,), _OPTIONAL, Optional)),
        function("optional.ofNonZeroValue", Overload((A,), _OPTIONAL, _non_zero)),
        function("optional.none", Overload((), _OPTIONAL, lambda: NONE)),
        function("optional.unwrap", Overload((list_of(_OPTIONAL),), list_of(A), _unwrap, len)),
        method("unwrapOpt", Overload((list_of(_OPTIONAL),), list_of(A), _unwrap, len)),
        method("hasValue", Overload((_OPTIONAL,), BOOL, lambda optional: optional is not NONE)),
        method("value", Overload((_OPTIONAL,), A, _value)),
        method("or", Overload((_OPTIONAL, _OPTIONAL), _OPTIONAL, _lazy)),
        method("orValue", Overload((_OPTIONAL, A), A, _lazy)),
    ),
    types={"optional_type": Type("optional", "optional_type", (DYN,))},
)
