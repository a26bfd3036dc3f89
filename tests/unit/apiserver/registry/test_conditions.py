"""Conditions of a status, as Kubernetes looks at those of budgets and policies."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.apiserver.registry.validation.conditions import conditions

GOOD = {"type": "Ready", "status": "True", "reason": "It_is", "lastTransitionTime": "2020-01-01T00:00:00Z"}


def said(*values: Any) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in conditions(list(values), "status.conditions")]


def test_good_ones() -> None:
    assert said(GOOD, {**GOOD, "type": "example.com/Other", "message": "m", "observedGeneration": 3}) == []


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"type": "a b"}, "type", 'Invalid value: "a b": name part must consist of alphanumeric characters'),
        ({"status": ""}, "status", 'Unsupported value: "": supported values: "False", "True", "Unknown"'),
        ({"observedGeneration": -1}, "observedGeneration", "Invalid value: -1: must be greater than or equal to zero"),
        ({"lastTransitionTime": None}, "lastTransitionTime", "Required value: must be set"),
        ({"reason": ""}, "reason", "Required value: must be set"),
        ({"reason": "9"}, "reason", 'Invalid value: "9": a condition reason must start with alphabetic character'),
        ({"reason": "r" * 1025}, "reason", "Too long: may not be more than 1024 bytes"),
        ({"message": "m" * 32769}, "message", "Too long: may not be more than 32768 bytes"),
    ],
)
def test_bad_ones(changes: Any, field: str, message: str) -> None:
    [(where, what)] = said({**GOOD, **changes})
    assert where == f"status.conditions[0].{field}"
    assert what.startswith(message)


def test_twice() -> None:
    assert said(GOOD, GOOD) == [("status.conditions[1].type", 'Duplicate value: "Ready"')]
