"""matchConditions: CEL expressions that must all be true for a webhook or a policy to be concerned with a request.

One that is false settles it, whatever goes wrong with the others; otherwise an error counts as the failurePolicy says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from wherry.api.types import Obj
from wherry.apiserver.admission.forms import Form
from wherry.apiserver.admission.request import AdmissionRequest
from wherry.apiserver.patience import judged

if TYPE_CHECKING:
    from wherry.cel import Environment, Value

COST_MAX = 2_500_000
"""Of all match conditions of one webhook or policy together, a quarter of what a policy's expressions may cost."""


class ConditionsFailed(Exception):
    """What went wrong with expressions that had to have a value."""


class Conditions(Struct, frozen=True):
    """Expressions in their order; `ignores_failures` as failurePolicy Ignore says."""

    expressions: tuple[str, ...]
    ignores_failures: bool

    @classmethod
    def of(cls, holder: Obj) -> Conditions:
        """From a webhook or the spec of a policy."""
        conditions = holder.get("matchConditions") or ()
        return cls(tuple(each["expression"] for each in conditions), holder.get("failurePolicy") == "Ignore")

    async def hold(self, request: AdmissionRequest, form: Form) -> bool:
        """For a webhook. Raises StatusError (403) when an expression fails and failures are not ignored."""
        if not self.expressions:
            return True
        from wherry.apiserver.admission import environments, variables  # CEL is loaded by whoever uses it first

        values = variables.variables(request, form)
        try:
            return await judged(lambda: self.decide(environments.environment(), values))
        except ConditionsFailed as error:
            raise request.forbid(str(error)) from error

    def decide(self, environment: Environment, values: Mapping[str, Value]) -> bool:
        """Raises ConditionsFailed."""
        from wherry.apiserver.admission.evaluation import ExpressionFailed, evaluate
        from wherry.cel import Budget

        budget = Budget(COST_MAX)
        errors: dict[str, None] = {}
        for expression in self.expressions:
            try:
                if evaluate(expression, environment, values, budget) is False:
                    return False
            except ExpressionFailed as error:
                errors[str(error)] = None
        if not errors:
            return True
        if self.ignores_failures:
            return False
        raise ConditionsFailed(next(iter(errors)) if len(errors) == 1 else f"[{', '.join(errors)}]")
