"""`find` and `findAll`. Source: Kubernetes' regex library."""

from __future__ import annotations

from typing import Final

from wherry.cel import regex
from wherry.cel.functions import Library, Overload, method
from wherry.cel.types import INT, STRING, list_of


def _find(text: str, pattern: str) -> str:
    match = regex.compiled(pattern).search(regex.encodable(text))
    return match.group() if match is not None else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found: list[str] = []
    if limit == 0:
        return found
    for match in regex.compiled(pattern).finditer(regex.encodable(text)):
        found.append(match.group())
        if len(found) == limit:
            break
    return found


def _find_all_charge(text: str, pattern: str, limit: int = -1) -> int:
    """Besides the search, a value for each match."""
    return regex.charge(text, pattern) + len(text) // 4


REGEXES: Final = Library(
    "regex",
    (
        method("find", Overload((STRING, STRING), STRING, _find, regex.charge)),
        method(
            "findAll",
            Overload((STRING, STRING), list_of(STRING), _find_all, _find_all_charge),
            Overload((STRING, STRING, INT), list_of(STRING), _find_all, _find_all_charge),
        ),
    ),
)
