"""Amounts like `500Mi`. Source: Kubernetes' quantity library."""

from __future__ import annotations

from typing import Final

from wherry.api.quantity import Quantity, QuantityError
from wherry.cel.errors import Failure
from wherry.cel.functions import Library, Overload, function, method
from wherry.cel.standard import traversal
from wherry.cel.types import BOOL, DOUBLE, INT, STRING, opaque
from wherry.cel.values import INT_MAX, INT_MIN

_NANO: Final = 10**9
QUANTITY: Final = opaque("kubernetes.Quantity")


class Amount:
    """A Quantity as a value of CEL."""

    __slots__ = ("quantity",)
    type_name = "kubernetes.Quantity"

    def __init__(self, quantity: Quantity) -> None:
        self.quantity = quantity

    def equals(self, other: Amount) -> bool:
        return self.quantity == other.quantity


def _parse(text: str) -> Amount:
    try:
        return Amount(Quantity.parse(text))
    except QuantityError as error:
        raise Failure(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        Quantity.parse(text)
    except QuantityError:
        return False
    return True


def _is_integer(amount: Amount) -> bool:
    (whole, rest) = divmod(amount.quantity.nanos, _NANO)
    return rest == 0 and INT_MIN <= whole <= INT_MAX


def _as_integer(amount: Amount) -> int:
    if not _is_integer(amount):
        raise Failure("cannot convert value to integer")
    return amount.quantity.nanos // _NANO


def _sign(amount: Amount) -> int:
    return (amount.quantity.nanos > 0) - (amount.quantity.nanos < 0)


def _compare(a: Amount, b: Amount) -> int:
    return (a.quantity > b.quantity) - (a.quantity < b.quantity)


def _of(value: int) -> Quantity:
    return Quantity.from_value(value)


QUANTITIES: Final = Library(
    "quantity",
    (
        function("quantity", Overload((STRING,), QUANTITY, _parse, traversal)),
        function("isQuantity", Overload((STRING,), BOOL, _is_quantity, traversal)),
        method("sign", Overload((QUANTITY,), INT, _sign)),
        method("isInteger", Overload((QUANTITY,), BOOL, _is_integer)),
        method("asInteger", Overload((QUANTITY,), INT, _as_integer)),
        method("asApproximateFloat", Overload((QUANTITY,), DOUBLE, lambda amount: amount.quantity.nanos / _NANO)),
        method("isGreaterThan", Overload((QUANTITY, QUANTITY), BOOL, lambda a, b: a.quantity > b.quantity)),
        method("isLessThan", Overload((QUANTITY, QUANTITY), BOOL, lambda a, b: a.quantity < b.quantity)),
        method("compareTo", Overload((QUANTITY, QUANTITY), INT, _compare)),
        method(
            "add",
            Overload((QUANTITY, QUANTITY), QUANTITY, lambda a, b: Amount(a.quantity + b.quantity)),
            Overload((QUANTITY, INT), QUANTITY, lambda a, b: Amount(a.quantity + _of(b))),
        ),
        method(
            "sub",
            Overload((QUANTITY, QUANTITY), QUANTITY, lambda a, b: Amount(a.quantity - b.quantity)),
            Overload((QUANTITY, INT), QUANTITY, lambda a, b: Amount(a.quantity - _of(b))),
        ),
    ),
    classes={"kubernetes.Quantity": Amount},
    types={"kubernetes.Quantity": QUANTITY},
)
