"""Taints of nodes and the tolerations of pods that cover them. Pure; the rules are those of core/v1 Toleration."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.integers import atoi
from wherry.api.types import Obj


def tolerates(tolerations: Iterable[Obj], taint: Obj) -> bool:
    """Whether one of the tolerations covers the taint."""
    return any(covers(toleration, taint) for toleration in tolerations)


def covers(toleration: Obj, taint: Obj) -> bool:
    """An empty key with Exists covers all taints, an empty effect any effect."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    if not toleration.get("key"):
        return False
    own, other = toleration.get("value") or "", taint.get("value") or ""
    if operator == "Equal":
        return bool(own == other)
    return _compares(operator, own, other)


def _compares(operator: str, own: str, other: str) -> bool:
    """Gt and Lt compare whole numbers: the taint's value against the toleration's."""
    try:
        return atoi(other) > atoi(own) if operator == "Gt" else operator == "Lt" and atoi(other) < atoi(own)
    except ValueError:
        return False
