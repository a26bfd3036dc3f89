"""Taints keep pods away from a node unless they tolerate them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from wherry.api.types import Obj
from wherry.scheduler.framework import OK, Filter, Happening, Score
from wherry.scheduler.snapshot import NodeInfo, PodInfo


def tolerates(tolerations: Iterable[Obj], taint: Obj) -> bool:
    """Whether one of the tolerations covers the taint. An empty key with Exists covers all, an empty effect any."""
    return any(_covers(toleration, taint) for toleration in tolerations)


def _covers(toleration: Obj, taint: Obj) -> bool:
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
        return int(other) > int(own) if operator == "Gt" else operator == "Lt" and int(other) < int(own)
    except ValueError:
        return False


def _filter(pod: PodInfo, node: NodeInfo, state: Any) -> Sequence[str]:
    tolerations = pod.pod["spec"].get("tolerations") or ()
    for taint in node.taints:
        if taint["effect"] in ("NoSchedule", "NoExecute") and not tolerates(tolerations, taint):
            return ("node(s) had untolerated taint(s)",)
    return OK


def _soft(pod: PodInfo, node: NodeInfo, state: Any) -> float:
    if not node.taints:
        return 0
    tolerations = pod.pod["spec"].get("tolerations") or ()
    return sum(
        1 for taint in node.taints if taint["effect"] == "PreferNoSchedule" and not tolerates(tolerations, taint)
    )


FILTER = Filter("TaintToleration", _filter, frozenset({Happening.NODE_CHANGED}))
SCORE = Score("TaintToleration", 3, _soft, scale="reversed")
