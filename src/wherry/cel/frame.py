"""What closures share while a program runs: a list. Its first element is what is left of the budget, then come the variables of
the environment the program reads, then one slot for each name a macro binds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from wherry.cel.errors import CostExceeded
from wherry.cel.values import Value

Frame: TypeAlias = list[Any]
Run: TypeAlias = Callable[[Frame], Value]

MISSING: Final = object()
"""In the slot of a variable that was declared and not given."""


def spend(frame: Frame, cost: int) -> None:
    """Take from the budget; CostExceeded when it is used up."""
    frame[0] -= cost
    if frame[0] < 0:
        raise CostExceeded
