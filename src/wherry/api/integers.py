"""Whole numbers in texts, as Go's strconv.Atoi reads them: ASCII digits with a sign, 64 bits.

Python's own `int` reads more (other scripts, underscores, spaces) and refuses thousands of digits with an error of its own.
"""

from __future__ import annotations

import re

_DIGITS = re.compile(r"[+-]?[0-9]+")
_MAX = 2**63 - 1
_SHOWN_MAX = 64


def atoi(text: str) -> int:
    """ValueError in Go's words for what is no number, or none of 64 bits."""
    if not _DIGITS.fullmatch(text):
        raise ValueError(f'strconv.Atoi: parsing "{text[:_SHOWN_MAX]}": invalid syntax')
    sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("", text)
    digits = digits.lstrip("0") or "0"
    number = int(sign + digits) if len(digits) < 20 else _MAX + 2
    if not -_MAX - 1 <= number <= _MAX:
        raise ValueError(f'strconv.Atoi: parsing "{text[:_SHOWN_MAX]}": value out of range')
    return number


def capped(text: str) -> int:
    """As `atoi`, but of a number too large (or too small) the largest (or smallest) there is."""
    try:
        return atoi(text)
    except ValueError:
        if not _DIGITS.fullmatch(text):
            raise
        return -_MAX - 1 if text.startswith("-") else _MAX
