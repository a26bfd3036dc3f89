"""Where a base64 text is broken, counted as Kubernetes' decoder counts."""

from __future__ import annotations

import string
from typing import Final

_ALPHABET: Final = frozenset(string.ascii_letters + string.digits + "+/")


def problem(text: str) -> str:
    """The message for a text that is not padded standard base64 (line breaks are allowed)."""
    return f"illegal base64 data at input byte {_position(text)}"


def _position(text: str) -> int:
    quantum = 0  # letters read of the group of four
    for index, letter in enumerate(text):
        if letter in "\r\n":
            continue
        if letter == "=":
            return _padding(text, index, quantum)
        if letter not in _ALPHABET:
            return index
        quantum = (quantum + 1) % 4
    return len(text) - quantum


def _padding(text: str, index: int, quantum: int) -> int:
    """The first "=" stands at `index` after `quantum` letters; only two or three may precede it."""
    if quantum < 2:
        return index
    rest = [(at, letter) for at, letter in enumerate(text) if at > index and letter not in "\r\n"]
    if quantum == 2:
        if not rest:
            return len(text)
        if rest[0][1] != "=":
            return rest[0][0] - 1
        rest = rest[1:]
    return rest[0][0] if rest else len(text)
