"""From an expression to something that runs, and running it.

Compiling parses, checks and builds closures; a Program never changes and may run any number of times. Whatever an expression
does is bounded: its length and depth when it is compiled, its work by a budget when it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from wherry.aio.trial import CURRENT, TooHeavy, Trial, spend
from wherry.cel.checker import Checker
from wherry.cel.environment import CALL_COST_MAX, Environment
from wherry.cel.errors import CompileErrors, CostExceeded, EvaluationError, Issue
from wherry.cel.evaluator import MISSING, Builder
from wherry.cel.parser import parse
from wherry.cel.syntax import Node
from wherry.cel.types import Type
from wherry.cel.values import Value


class Budget:
    """What several evaluations may use together; each takes from it what it used."""

    __slots__ = ("remaining",)

    def __init__(self, remaining: int) -> None:
        self.remaining = remaining


class Program:
    """
    expression   as it was written
    result_type  what it gives
    used         names of the environment's variables it reads
    tree         checked, for cost estimates
    """

    __slots__ = ("_frame", "_names", "_run", "_weight", "expression", "result_type", "tree", "used")

    def __init__(self, expression: str, tree: Node, result_type: Type, used: frozenset[str], builder: Builder) -> None:
        self.expression = expression
        self.tree = tree
        self.result_type = result_type
        self.used = used
        (self._run, self._weight) = builder.program(tree)
        self._names = tuple(builder.variables.items())
        self._frame: list[Any] = [0, *([MISSING] * (builder.size - 1))]

    def evaluate(self, variables: Mapping[str, Value], budget: Budget | None = None) -> Value:
        """The value; EvaluationError when there is none. Without a budget the limit of one call holds."""
        limit = CALL_COST_MAX if budget is None else min(CALL_COST_MAX, budget.remaining)
        trial = CURRENT.get()
        if trial is not None:
            return self._tried(trial, limit, variables, budget)
        return self._within(limit, variables, budget)

    def _tried(self, trial: Trial, limit: int, variables: Mapping[str, Value], budget: Budget | None) -> Value:
        """As long as the trial lasts. Raises TooHeavy when that, and not the budget, is the end of it."""
        mine, short = Budget(limit), trial.left < limit
        try:
            return self._within(min(limit, trial.left), variables, mine)
        except CostExceeded:
            if short:
                raise TooHeavy from None
            raise
        finally:
            used = limit - mine.remaining
            trial.left -= used
            if budget is not None:
                budget.remaining -= used

    def _within(self, limit: int, variables: Mapping[str, Value], budget: Budget | None) -> Value:
        if limit < self._weight:
            if budget is not None:
                budget.remaining = -1
            raise CostExceeded
        frame = self._frame.copy()
        frame[0] = left = limit - self._weight
        for name, slot in self._names:
            if name in variables:
                frame[slot] = variables[name]
        try:
            return self._run(frame)
        except RecursionError:
            raise EvaluationError("expression recursion limit exceeded") from None
        finally:
            if budget is not None:
                budget.remaining -= self._weight + left - frame[0]


COMPILING: Final = 4
"""Units of a trial for each character: a unit is a third of a microsecond to one."""


def compile(expression: str, environment: Environment) -> Program:
    """CompileErrors says all that is wrong with the expression."""
    spend(COMPILING * len(expression))
    try:
        tree = parse(expression)
        checker = Checker(environment)
        result = checker.run(tree)
        if checker.issues:
            raise CompileErrors(expression, sorted(checker.issues))
        return Program(expression, tree, result, frozenset(checker.used), Builder(environment))
    except RecursionError:
        raise CompileErrors(expression, [Issue(0, "expression recursion limit exceeded")]) from None
