"""Regular expressions as RE2 runs them: time linear in the text whatever the pattern, so that no rule can hang the server.

The syntax is RE2's too (no look-around, no back-references), which is what Kubernetes documents. A program may take
`MEMORY_MAX` bytes; patterns are kept compiled, the last hundred or so of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from wherry.cel.errors import Failure

MEMORY_MAX: Final = 2**22
"""Of one compiled pattern; `((a{100}){100}){100}` is refused instead of filling memory."""


@lru_cache(maxsize=128)  # with the memory of each a bound on what patterns may hold
def compiled(pattern: str) -> Any:
    """Failure for what is no pattern. RE2 is loaded with the first one that is used."""
    import re2

    encodable(pattern)
    options = re2.Options()
    options.max_mem = MEMORY_MAX
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        text = error.args[0] if error.args else error
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        raise Failure(f"error parsing regexp: {text}") from None


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
