"""A claim with the access mode ReadWriteOncePod is one pod's alone, wherever that pod is."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from wherry.scheduler.framework import OK, SKIP, Filter, Happening, always
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.snapshot import Snapshot
from wherry.scheduler.volumes import Lookup, claim_names

_REASON = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"


class _State(Struct):
    names: frozenset[str]
    uses: int = 0
    """How often placed pods use these claims."""


def volume_restrictions(claims: Lookup) -> Filter:
    def prepare(pod: PodInfo, snapshot: Snapshot) -> object:
        names = [name for name, _ in claim_names(pod.pod)]
        exclusive = frozenset(name for name in names if _is_exclusive(pod.namespace, name))
        if not exclusive:
            return SKIP
        state = _State(exclusive)
        for node in snapshot.nodes:
            for other in node.pods.values():
                moved(pod, state, other, node, 1)
        return state

    def _is_exclusive(namespace: str, name: str) -> bool:
        claim = claims.get(name, namespace)
        return claim is not None and "ReadWriteOncePod" in (claim["spec"].get("accessModes") or ())

    def moved(pod: PodInfo, state: _State, other: PodInfo, node: NodeInfo, sign: int) -> None:
        if other.namespace == pod.namespace and other.pod["spec"].get("volumes"):
            state.uses += sign * sum(name in state.names for name, _ in claim_names(other.pod))

    def check(pod: PodInfo, node: NodeInfo, state: _State) -> Sequence[str]:
        return (_REASON,) if state.uses > 0 else OK

    helped_by = frozenset({Happening.POD_GONE, Happening.CLAIM_CHANGED})
    return Filter("VolumeRestrictions", check, helped_by, prepare, evictable=always, moved=moved)
