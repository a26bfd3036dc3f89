"""Regular expressions as RE2 runs them: time linear in the text whatever the pattern, so that nobody's pattern can hang the
server. RE2 is loaded with the first one.
"""

from __future__ import annotations

from typing import Any, Final

MEMORY_MAX: Final = 2**22
"""Of one compiled pattern; `((a{100}){100}){100}` is refused instead of filling memory."""


def linear(pattern: str) -> Any:
    """Compiled: `.search(text)` and the like. Raises ValueError with RE2's words."""
    import re2

    options = re2.Options()
    options.max_mem = MEMORY_MAX
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        text = error.args[0] if error.args else error
        raise ValueError(text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)) from None
