"""Regular expressions as RE2 runs them: time linear in the text whatever the pattern, so that no rule can hang the server.

The syntax is RE2's too (no look-around, no back-references), which is what Kubernetes documents. Patterns are kept compiled,
the last hundred or so of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from wherry.api.linear_patterns import linear
from wherry.cel.errors import Failure


@lru_cache(maxsize=128)  # with the memory of each a bound on what patterns may hold
def compiled(pattern: str) -> Any:
    """Failure for what is no pattern."""
    encodable(pattern)
    try:
        return linear(pattern)
    except ValueError as error:
        raise Failure(f"error parsing regexp: {error}") from None


def encodable(text: str) -> str:
    """The text, when it is one in UTF-8."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Failure("invalid UTF-8 in string") from None
    return text


def matches(text: str, pattern: str) -> bool:
    """Whether the pattern occurs in the text."""
    return compiled(pattern).search(encodable(text)) is not None


def charge(text: str, pattern: str, *_: Any) -> int:
    """As cel-go: the text's length and the pattern's both count."""
    return (len(text) // 10 + 1) * (len(pattern) // 4 + 1)
