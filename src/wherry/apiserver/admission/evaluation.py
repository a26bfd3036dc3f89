"""Evaluating one CEL expression of admission, errors in Kubernetes' words; and `variables`, computed when first asked for."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.apiserver.admission.environments import program
from wherry.cel import Budget, CelError, CompileErrors, CostExceeded, Environment, Failure, Program, Value

_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


class ExpressionFailed(Exception):
    """The expression has no value. `str` names it."""


def evaluate(expression: str, where: Environment, values: Mapping[str, Value], budget: Budget) -> Value:
    """Raises ExpressionFailed."""
    compiled = program(expression, where)
    if isinstance(compiled, CompileErrors):
        raise ExpressionFailed(str(compiled))
    try:
        return compiled.evaluate(values, budget)
    except CostExceeded as error:
        if budget.remaining < 0:
            raise ExpressionFailed(_OUT_OF_BUDGET) from error
        raise ExpressionFailed(f"expression '{expression}' resulted in error: {error}") from error
    except CelError as error:
        raise ExpressionFailed(f"expression '{expression}' resulted in error: {error}") from error


class Variables:
    """The value of `variables`: each of spec.variables is evaluated at most once, by the first expression that uses it."""

    def __init__(
        self, programs: Mapping[str, Program | CompileErrors], values: Mapping[str, Value], budget: Budget
    ) -> None:
        self._programs = programs
        self._values = {**values, "variables": self}
        self._budget = budget
        self._known: dict[str, Value | Failure] = {}

    def select(self, name: str) -> Value:
        """Raises Failure."""
        if name not in self._known:
            self._known[name] = self._compute(name)
        found = self._known[name]
        if isinstance(found, Failure):
            raise found
        return found

    def has(self, name: str) -> bool:
        return name in self._programs

    def _compute(self, name: str) -> Value | Failure:
        compiled = self._programs.get(name)
        if compiled is None:
            return Failure(f"no such key: {name}")
        if isinstance(compiled, CompileErrors):
            return Failure(f'composited variable "{name}" fails to compile: {compiled}')
        try:
            return compiled.evaluate(self._values, self._budget)
        except Failure as error:
            return Failure(f'composited variable "{name}" fails to evaluate: {error}')
