"""`$(NAME)` in env values, commands, arguments and subPathExpr. Pure.

`$$` is a dollar sign, `$(NAME)` of an unknown name stays as it is (Kubernetes' "Define Dependent Environment Variables").
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, *scopes: Mapping[str, str]) -> str:
    """Names are looked up in `scopes`, the first that has it wins."""

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "$"
        return next((scope[name] for scope in scopes if name in scope), match[0])

    return _REFERENCE.sub(replace, text)


def unknown_names(text: str, *scopes: Mapping[str, str]) -> list[str]:
    """Names that `expand` would leave as they are."""
    names = [match[1] for match in _REFERENCE.finditer(text) if match[1] is not None]
    return [name for name in names if not any(name in scope for scope in scopes)]
