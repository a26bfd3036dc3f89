"""What can go wrong with an expression: it does not compile, or it has no value. Texts are those Kubernetes shows.

CelError
├── CompileErrors            every mistake in the text, each with its place
└── EvaluationError          this evaluation has no value
    ├── Failure              an error of CEL: `&&` and `||` absorb it
    └── CostExceeded         the budget is used up; nothing absorbs that
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

ISSUES_MAX: Final = 30
"""Mistakes shown of one expression."""
LINE_MAX: Final = 2_000
"""Characters of a line that is still shown; each mistake shows its line."""


class CelError(Exception):
    """Root of everything this package raises for its input."""


class Issue(NamedTuple):
    """One mistake: `offset` counts code points from the start of the expression."""

    offset: int
    message: str


class CompileErrors(CelError):
    """The expression is wrong. `str()` is what Kubernetes shows, with the line and a caret below the place."""

    def __init__(self, expression: str, issues: Sequence[Issue]) -> None:
        self.expression = expression
        self.issues = tuple(issues[:ISSUES_MAX])
        super().__init__("compilation failed: " + "\n".join(_show(expression, issue) for issue in self.issues))


class EvaluationError(CelError):
    """The expression has no value for these variables."""


class Failure(EvaluationError):
    """An error value of CEL: no such key, overflow, no such overload, ..."""


class CostExceeded(EvaluationError):
    """The evaluation used more than it may."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


def no_overload() -> Failure:
    return Failure("no such overload")


def _show(expression: str, issue: Issue) -> str:
    """`ERROR: <input>:1:6: text`, the line, and dots up to the caret; columns count from 1."""
    offset = min(max(issue.offset, 0), len(expression))
    start = expression.rfind("\n", 0, offset) + 1
    line = expression.count("\n", 0, start) + 1
    end = expression.find("\n", start)
    text = expression[start : end if end >= 0 else len(expression)].replace("\t", " ")
    column = offset - start
    if len(text) > LINE_MAX:
        return f"ERROR: <input>:{line}:{column + 1}: {issue.message}"
    return f"ERROR: <input>:{line}:{column + 1}: {issue.message}\n | {text}\n | {'.' * column}^"
