"""Label selectors: parse, match, print.

    Selector.parse("app=cart,tier in (web, api),!canary")      the text form of queries
    Selector.from_object({"matchLabels": ..., "matchExpressions": [...]})      metav1.LabelSelector

A missing LabelSelector selects nothing, an empty one everything. Syntax and messages are those documented for
k8s.io/apimachinery/pkg/labels. A Selector never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from wherry.api.label_parser import SelectorError, parse
from wherry.api.label_requirement import Requirement

__all__ = ["Requirement", "Selector", "SelectorError"]

_OPERATORS: Final = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


class Selector(Struct, frozen=True):
    """All requirements must hold; `nothing` is the selector that no object meets."""

    requirements: tuple[Requirement, ...] = ()
    selects_nothing: bool = False

    @classmethod
    def everything(cls) -> Selector:
        return cls()

    @classmethod
    def nothing(cls) -> Selector:
        return cls(selects_nothing=True)

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Raises SelectorError with Kubernetes' message."""
        return cls(tuple(sorted(parse(text), key=lambda requirement: requirement.key)))

    @classmethod
    def from_labels(cls, labels: Mapping[str, str] | None) -> Selector:
        """Equality with every label, as in a Service's spec.selector."""
        return cls(tuple(Requirement(key, "=", (value,)) for key, value in sorted((labels or {}).items())))

    @classmethod
    def from_object(cls, selector: Mapping[str, Any] | None) -> Selector:
        """Of a metav1.LabelSelector; raises SelectorError for an unknown operator or impossible values."""
        if selector is None:
            return cls.nothing()
        requirements = list(cls.from_labels(selector.get("matchLabels")).requirements)
        for expression in selector.get("matchExpressions") or ():
            operator = expression.get("operator", "")
            if operator not in _OPERATORS:
                raise SelectorError(f'"{operator}" is not a valid label selector operator')
            values = tuple(sorted(expression.get("values") or ()))
            requirement = Requirement(expression.get("key", ""), _OPERATORS[operator], values)
            if problem := requirement.problem():
                raise SelectorError(problem)
            requirements.append(requirement)
        return cls(tuple(sorted(requirements, key=lambda requirement: requirement.key)))

    from_label_selector = from_object

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.selects_nothing:
            return False
        labels = labels or {}
        for requirement in self.requirements:  # noqa: SIM110 - a generator costs as much as the comparison
            if not requirement.matches(labels):
                return False
        return True

    def equalities(self) -> tuple[tuple[str, str], ...] | None:
        """(key, value) of each requirement where all of them ask for one value; None where one asks for something else."""
        if self.selects_nothing or not all(
            one.operator in ("=", "==", "in") and len(one.values) == 1 for one in self.requirements
        ):
            return None
        return tuple((one.key, one.values[0]) for one in self.requirements)

    def is_empty(self) -> bool:
        """Whether it selects everything."""
        return not self.requirements and not self.selects_nothing

    def __str__(self) -> str:
        """The text form, for queries; empty for everything."""
        return ",".join(map(str, self.requirements))
