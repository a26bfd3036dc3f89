"""The two kinds that keep a number of pods: ReplicaSets and their elder, ReplicationControllers. Pure.

A ReplicationController is a ReplicaSet whose selector is a plain map; here it is looked at in a ReplicaSet's form and
written in its own.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from wherry.api.resources import REPLICA_SETS, REPLICATION_CONTROLLERS
from wherry.api.types import GVR, Obj


class Replicated(Struct, frozen=True):
    """`view` gives an object of this kind the selector of a ReplicaSet."""

    gvr: GVR
    kind: str
    view: Callable[[Obj], Obj]
    tells_terminating: bool
    """Whether its status has terminatingReplicas."""


def _with_label_selector(controller: Obj) -> Obj:
    spec = controller["spec"]
    labels = spec.get("selector") or (spec["template"].get("metadata") or {}).get("labels") or {}
    return {**controller, "spec": {**spec, "selector": {"matchLabels": labels}}}


REPLICA_SET = Replicated(REPLICA_SETS, "ReplicaSet", lambda obj: obj, tells_terminating=True)
REPLICATION_CONTROLLER = Replicated(
    REPLICATION_CONTROLLERS, "ReplicationController", _with_label_selector, tells_terminating=False
)
