"""Which of two versions of an API is newer: v2 > v1 > v1beta2 > v1beta1 > v1alpha1 > anything else, that by its letters.

Source: Kubernetes' "Versions in CustomResourceDefinitions" (version priority).
"""

from __future__ import annotations

import re
from functools import cmp_to_key

_FORM = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_RANKS = {None: 2, "beta": 1, "alpha": 0}


def compare(left: str, right: str) -> int:
    """Positive when `left` is newer."""
    if left == right:
        return 0
    one, other = _parse(left), _parse(right)
    if one is not None and other is not None:
        return (one > other) - (one < other)
    if one is None and other is None:
        return 1 if left < right else -1  # in the order of the alphabet
    return 1 if one is not None else -1


def _newest_first(left: str, right: str) -> int:
    return compare(right, left)


NEWEST_FIRST = cmp_to_key(_newest_first)
"""A sort key."""


def _parse(version: str) -> tuple[int, int, int] | None:
    found = _FORM.fullmatch(version)
    return (_RANKS[found[2]], int(found[1]), int(found[3] or 0)) if found is not None else None
