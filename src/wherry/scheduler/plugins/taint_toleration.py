"""Taints keep pods away from a node unless they tolerate them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wherry.api.tolerations import tolerates
from wherry.scheduler.framework import OK, Filter, Happening, Score
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo


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


FILTER = Filter("TaintToleration", _filter, frozenset({Happening.NODE_CHANGED}), local=True)
SCORE = Score("TaintToleration", 3, _soft, scale="reversed", local=True)
