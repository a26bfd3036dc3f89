"""Numbers that may be percentages: maxSurge, maxUnavailable, target ports.

Source: the documented behaviour of k8s.io/apimachinery/pkg/util/intstr.
"""

from __future__ import annotations

import re

from wherry.api.integers import capped

_PERCENT = re.compile(r"[0-9]+%")


def is_percent(value: int | str) -> bool:
    """Whether it is a string such as "25%"."""
    return isinstance(value, str) and _PERCENT.fullmatch(value) is not None


def percent(value: int | str) -> int | None:
    """25 of "25%", None of anything else."""
    return capped(value[:-1]) if isinstance(value, str) and is_percent(value) else None


def scaled_value(value: int | str, total: int, round_up: bool) -> int:
    """The number itself, or that percentage of `total`; ValueError for a string that is no percentage."""
    if isinstance(value, int):
        return value
    part = percent(value)
    if part is None:
        raise ValueError(f"invalid value for IntOrString: invalid type: string is not a percentage: {value!r}")
    product = part * total
    return -(-product // 100) if round_up else product // 100
