"""CEL expressions in webhooks and policies: whether they compile and give the type that is needed.

The CEL package is loaded with the first expression, so that a server without any starts without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.api.errors import Cause
from wherry.apiserver.registry.validation import field as f

if TYPE_CHECKING:
    from wherry.cel import Environment


def match_condition(expression: str, path: str) -> list[Cause]:
    """Of a webhook: no params, no namespaceObject, a bool."""
    from wherry.apiserver.admission.environments import environment

    return compiled(expression, path, environment(), "bool")


def compiled(expression: str, path: str, where: Environment, *results: str) -> list[Cause]:
    """`results`: the names of the types it may give; none for any."""
    from wherry.apiserver.admission.environments import program
    from wherry.cel import CompileErrors

    found = program(expression, where)
    if isinstance(found, CompileErrors):
        return [f.invalid(path, expression, str(found))]
    got = str(found.result_type)
    if results and got not in results:
        needed = results[0] if len(results) == 1 else f"one of [{' '.join(results)}]"
        return [f.invalid(path, expression, f"must evaluate to {needed} but got {got}")]
    return []
